//! Waiting on the host's own thread, for hosts that have no loop of their own.

use super::check_there;
use crate::{Error, Result};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long to wait for callbacks that another thread of the host may have begun to call.
const OTHERS: Duration = Duration::from_millis(200);

/// Blocks the thread and polls the host's device until `future` is ready, such as a readback's values. For hosts that
/// don't poll in a loop of their own. In a browser, which polls by itself, await the future instead.
///
/// ```no_run
/// # use locally_connected::{Readback, Result, wait, wgpu};
/// # fn read(device: &wgpu::Device, queue: &wgpu::Queue, y: &wgpu::Buffer) -> Result<Vec<f32>> {
/// let mut readback = wait(device, Readback::new(device, y))?;
/// let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
/// readback.record(&mut encoder)?;
/// queue.submit([encoder.finish()]);
/// wait(device, readback.values())
/// # }
/// ```
///
/// # Errors
/// Those of `future`; [`Error::NotSubmitted`] where the device has done all that was submitted and `future` still isn't there;
/// [`Error::DeviceLost`] where it is lost.
pub fn wait<T>(device: &wgpu::Device, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    let mut idle = None;
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        // An error of this poll shows in the future's result, or when the device is asked below.
        let since = *idle.get_or_insert_with(|| {
            let _ = device.poll(wgpu::PollType::wait_indefinitely());
            Instant::now()
        });
        if since.elapsed() > OTHERS {
            let there = pin!(check_there(device, "what is waited for"));
            return match there.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(error)) => Err(error),
                _ => Err(Error::NotSubmitted),
            };
        }
        let _ = device.poll(wgpu::PollType::Poll);
        std::thread::sleep(Duration::from_micros(50));
    }
}
