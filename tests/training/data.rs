//! Samples, their weights, evaluation and prediction.

use super::*;

#[test]
fn data_that_doesn_t_fit_is_refused_before_anything_is_trained() {
    let training = training(Optimizer::sgd());
    let first = parameters(training.graph());
    let (x, y) = data(6);
    let (short, far, negative) = (&y[..5], [4.0; 6], [-1.0; 6]);
    pollster::block_on(async {
        let mut trainer = Trainer::new(cpu::Runner::default(), training, &first).await.expect("fits");
        let options = FitOptions::new();
        let good = Data::new(&x, &y);
        for (what, data, options) in [
            ("a short target", Data::new(&x, short), options.clone()),
            ("no such class", Data::new(&x, &far), options.clone()),
            ("no class", Data::new(&x, &negative), options.clone()),
            ("a short input", Data::new(&x[1..], &y), options.clone()),
            ("no samples", Data::new(&[], &[]), options.clone()),
            ("no target", Data::default().input("", &x), options.clone()),
            ("an unknown input", good.clone().input("other", &x), options.clone()),
            ("weights of another number", good.clone().sample_weight(short), options.clone()),
            ("a batch of none", good.clone(), options.clone().batch_size(0)),
            ("nothing left to train on", good.clone(), options.clone().validation_split(1.0)),
            ("nothing left to validate by", good.clone(), options.clone().validation_split(-0.5)),
            ("a class without a weight", good.clone(), options.clone().class_weight(&[1.0, 2.0])),
        ] {
            assert!(trainer.fit(&data, &options, &mut []).await.is_err(), "{what}");
        }
        assert_eq!(trainer.steps(), 0);
        assert_eq!(trainer.parameters().await.expect("there"), first);
        let mut wrong = first.clone();
        wrong.remove("local/bias");
        assert_eq!(trainer.set_parameters(&wrong).await, Err(Error::NotGiven { name: "local/bias".into() }));
        let history = trainer.fit(&good, &options.epochs(2).validation_split(0.5), &mut []).await.expect("it trains");
        assert_eq!(history.get("val_loss").len(), 2);
        assert_eq!((trainer.steps(), trainer.epochs()), (2, 2));
    });
}

#[test]
fn weights_of_samples_and_classes_multiply() {
    // A sample of weight 0 changes nothing, one of weight 2 counts twice.
    let training = || Training::new(&graph(), Optimizer::sgd(), SPARSE).expect("fits");
    let (x, y) = data(8);
    let class_weights = [1.0, 0.5, 2.0, 0.0];
    let by_hand: Vec<f32> = y.iter().map(|&class| class_weights[class as usize] * 0.5).collect();
    let halves = [0.5; 8];
    let run = |weights: Vec<f32>, classes: Option<&[f32]>| {
        pollster::block_on(async {
            let first = parameters(&graph());
            let mut trainer = Trainer::new(cpu::Runner::default(), training(), &first).await?;
            let mut options = FitOptions::new().shuffle(false);
            options.class_weight = classes;
            let history = trainer.fit(&Data::new(&x, &y).sample_weight(&weights), &options, &mut []).await?;
            Ok::<_, Error>((history, trainer.state().await?))
        })
        .expect("it trains")
    };
    assert_eq!(run(halves.to_vec(), Some(&class_weights)), run(by_hand.clone(), None));
    assert_ne!(run(halves.to_vec(), None), run(by_hand, None));
}

#[test]
fn predictions_and_evaluations() {
    let training = training(Optimizer::adam());
    let (x, y) = data(13);
    pollster::block_on(async {
        let first = parameters(training.graph());
        let mut host = Trainer::new(cpu::Runner::default(), training.clone(), &first).await.expect("fits");
        let mut adapter = Trainer::new(GpuRunner::new(&GPU), training.clone(), &first).await.expect("fits");
        let all = host.predict(&[("input", &x)], 5).await.expect("it predicts").remove("head").expect("the output");
        assert_eq!(all.len(), 13 * 4);
        for row in all.chunks_exact(4) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let there = adapter.predict(&[("input", &x)], 13).await.expect("it predicts").remove("head").expect("it");
        assert!(all.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-5));
        let logs = host.evaluate(&Data::new(&x, &y), 4).await.expect("it evaluates");
        let right = all.chunks_exact(4).zip(&y).filter(|(row, class)| {
            let largest = row.iter().copied().fold(0.0, f32::max);
            row[**class as usize] == largest
        });
        assert_eq!(logs.get("accuracy"), Some(right.count() as f64 / 13.0));
        let likelihood = all.chunks_exact(4).zip(&y).map(|(row, &class)| -f64::from(row[class as usize]).ln());
        let loss = logs.get("loss").expect("a loss");
        // Penalties are in it.
        assert!(loss > likelihood.sum::<f64>() / 13.0 + 1e-3, "{loss}");
        let there = adapter.evaluate(&Data::new(&x, &y), 13).await.expect("it evaluates");
        // Activity is divided by the batch, of which there are several there.
        assert!((there.get("accuracy").expect("it") - logs.get("accuracy").expect("it")).abs() < 1e-9);
        assert_eq!(host.parameters().await.expect("there"), first);
    });
}
