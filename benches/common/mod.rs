//! The command line of benches that criterion doesn't run: names of what to measure, and options.

use std::num::NonZeroUsize;
use std::str::FromStr;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the command line asks for.
pub(crate) struct Asked {
    /// Names of what to measure; all if there are none.
    pub(crate) names: Vec<String>,
    /// Samples of a pass.
    pub(crate) batch: u32,
    /// Seconds of measuring.
    pub(crate) seconds: f64,
    threads: Option<NonZeroUsize>,
    flags: Vec<String>,
}

impl Asked {
    /// Reads it. `batch` is the default, and `flags` are the options without a number.
    pub(crate) fn read(batch: u32, flags: &[&str]) -> Result<Self, Failure> {
        let mut asked = Self { names: Vec::new(), batch, seconds: 1.0, threads: None, flags: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--batch" => asked.batch = number(&word, words.next())?,
                "--seconds" => asked.seconds = number(&word, words.next())?,
                "--threads" => asked.threads = Some(number(&word, words.next())?),
                // What `cargo bench` itself adds.
                "--bench" => {}
                flag if flags.contains(&flag) => asked.flags.push(word),
                flag if flag.starts_with('-') => return Err(format!("{flag} is no option").into()),
                _ => asked.names.push(word),
            }
        }
        Ok(asked)
    }

    /// Whether this flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }

    /// As many threads as asked for, or else as many as the processor has.
    pub(crate) fn pool(&self) -> Result<rayon::ThreadPool, Failure> {
        Ok(rayon::ThreadPoolBuilder::new().num_threads(self.threads.map_or(0, NonZeroUsize::get)).build()?)
    }
}

fn number<T: FromStr>(option: &str, text: Option<String>) -> Result<T, Failure> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| format!("{option} needs a number").into())
}

/// The median of these, which are put in order.
pub(crate) fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
