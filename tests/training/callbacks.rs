//! Callbacks: early stopping, learning rates, and losses that end a training.

use super::*;

#[test]
fn a_loss_that_isn_t_finite_ends_a_training() {
    let training = training(Optimizer::sgd());
    let (mut x, y) = data(24);
    x[17 * 24 + 3] = f32::NAN;
    let (host, adapter) = pollster::block_on(async {
        let first = parameters(training.graph());
        let options = FitOptions::new().batch_size(8).shuffle(false);
        let mut trainer = Trainer::new(cpu::Runner::default(), training.clone(), &first).await.expect("fits");
        let host = trainer.fit(&Data::new(&x, &y), &options, &mut []).await;
        let mut trainer = Trainer::new(GpuRunner::new(&GPU), training, &first).await.expect("fits");
        (host, trainer.fit(&Data::new(&x, &y), &options, &mut []).await)
    });
    for result in [host, adapter] {
        assert!(matches!(result, Err(Error::NotFinite { step: 3, loss }) if loss.is_nan()), "{result:?}");
    }
}

/// Tells a callback of epochs with these losses: the number of the last.
fn told(callback: &mut dyn Callback, losses: &[f64]) -> usize {
    for (number, &loss) in losses.iter().enumerate() {
        let logs = [("val_loss".to_owned(), loss), ("loss".to_owned(), 1.0)].into_iter().collect();
        let epoch = Epoch { number, steps: number as u64 + 1, learning_rate: 0.1, logs };
        let state = State { steps: epoch.steps, ..State::default() };
        let state = callback.wants_state(&epoch).then_some(&state);
        if callback.on_epoch(&Record { epoch: &epoch, state }).is_break() {
            return number;
        }
    }
    losses.len()
}

#[test]
fn early_stopping_is_keras_s() {
    let losses = [5.0, 4.0, 4.5, 3.95, 4.2, 4.1, 4.3, 1.0];
    assert_eq!(told(&mut EarlyStopping::new("val_loss"), &losses), 2);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").patience(3), &losses), 6);
    // 3.95 isn't better enough than 4.
    assert_eq!(told(&mut EarlyStopping::new("val_loss").patience(3).min_delta(0.1), &losses), 4);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").start_from_epoch(6), &losses), 8);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").better(Better::Higher), &losses), 1);
    assert_eq!(told(&mut EarlyStopping::new("val_loss").baseline(2.0).patience(2), &losses), 2);
    assert_eq!(told(&mut EarlyStopping::new("val_accuracy"), &losses), 8);
    let mut best = EarlyStopping::new("val_loss").patience(3).restore_best();
    assert_eq!(told(&mut best, &losses), 6);
    assert_eq!((best.best_epoch(), best.has_stopped()), (Some(3), true));
    assert_eq!(best.restores().map(|state| state.steps), Some(4));
    assert_eq!(told(&mut EarlyStopping::new("val_loss").restore_best(), &[f64::NAN, f64::NAN]), 1);
}

#[test]
fn the_best_weights_are_put_back() {
    let training = training(Optimizer::sgd().learning_rate(0.2));
    let (x, y) = data(16);
    pollster::block_on(async {
        let first = parameters(training.graph());
        let mut trainer = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        // Of falling losses each is worse than the one before where more is better: the first epoch's weights are the best.
        let mut stopping = EarlyStopping::new("loss").better(Better::Higher).patience(2).restore_best();
        let mut states = Vec::new();
        let mut keep = Checkpoints::new(1, |state: &State, _: &Epoch| {
            states.push(state.clone());
            ControlFlow::Continue(())
        });
        let mut csv = CsvLog::new(Vec::new());
        let options = FitOptions::new().batch_size(16).epochs(10).shuffle(false);
        let callbacks: &mut [&mut dyn Callback] = &mut [&mut stopping, &mut keep, &mut csv];
        let history = trainer.fit(&Data::new(&x, &y), &options, callbacks).await.expect("it trains");
        assert_eq!((history.epochs.len(), states.len()), (3, 3));
        assert_eq!(trainer.parameters().await.expect("there"), states[0].parameters);
        let text = String::from_utf8(csv.finish().expect("written")).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch,accuracy,loss");
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2].split(',').nth(2).expect("a loss").parse(), Ok(history.get("loss")[1]));
    });
}

#[test]
fn callbacks_set_rates_and_batches_are_trained_one_by_one() {
    let training = training(Optimizer::sgd().learning_rate(0.5));
    let (x, y) = data(16);
    pollster::block_on(async {
        let first = parameters(training.graph());
        let mut by_epoch = Trainer::new(cpu::Runner::default(), training.clone(), &first).await.expect("fits");
        let options = FitOptions::new().batch_size(16).epochs(2).shuffle(false);
        let mut rates = RateByEpoch(|epoch: usize, rate: f32| if epoch == 0 { 0.0 } else { rate });
        let data = Data::new(&x, &y);
        let history = by_epoch.fit(&data, &options, &mut [&mut rates]).await.expect("it trains");
        assert_eq!(history.epochs.iter().map(|epoch| epoch.learning_rate).collect::<Vec<_>>(), [0.0, 0.5]);
        let mut by_hand = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        let logs = by_hand.train_on_batch(&data).await.expect("it trains");
        // The first of the two steps changed nothing but what constraints ask for.
        assert!((logs.get("loss").expect("it") - history.get("loss")[0]).abs() < 1e-9);
        assert_eq!(by_hand.steps(), 1);
    });
}
