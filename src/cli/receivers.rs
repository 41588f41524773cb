//! `check --notify`: whether messages arrive, tried before the night in which they have to.

use std::thread;

use super::{
    Context,
    exit::Failure,
    ui::{Tone, clean, paint},
    words,
};
use crate::{
    alerts::{self, Message, Sender},
    courier,
    registry::{NotifyTarget, Registry},
};

/// Sends a test message to each receiver, to all at once, and says how it went.
pub(super) fn test(context: &Context, registry: &Registry) -> Result<(), Failure> {
    let targets = registry.config.notify.iter().flat_map(|notify| &notify.targets);
    let targets: Vec<&NotifyTarget> = targets.collect();
    if targets.is_empty() {
        let file = clean(&registry.file.display().to_string()).into_owned();
        return Err(Failure::failed(format!("cannot tell anybody: {file} has no <notify>")));
    }
    let message = test_message(registry);
    let outcomes: Vec<Result<(), alerts::Failure>> = thread::scope(|scope| {
        let tries = targets.iter().map(|target| scope.spawn(|| courier::deliver(target, &message)));
        let tries: Vec<_> = tries.collect();
        let ended = |attempt: thread::ScopedJoinHandle<'_, _>| match attempt.join() {
            Ok(outcome) => outcome,
            Err(_panic) => Err(alerts::Failure::lasting("broke off by an error of ours")),
        };
        tries.into_iter().map(ended).collect()
    });
    let ui = &context.ui;
    let mut failed = 0;
    for (target, outcome) in targets.iter().zip(outcomes) {
        let receiver = courier::shown(target);
        match outcome {
            Ok(()) => {
                let told = paint(Tone::Good, "told", ui.out.colour);
                ui.line(format!("{told}     {}", clean(&receiver)));
            }
            Err(failure) => {
                failed += 1;
                ui.error(format!("{}: {}", clean(&receiver), clean(failure.why())));
            }
        }
    }
    if failed > 0 {
        let of = words::count(targets.len(), "receiver");
        return Err(Failure::failed(format!("{failed} of {of} did not take the test message")));
    }
    Ok(())
}

fn test_message(registry: &Registry) -> Message {
    let sender = Sender {
        host: courier::host(),
        registry: registry.file.display().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
    };
    Message::test(&sender, &format!("{:.3}", jiff::Timestamp::now()))
}
