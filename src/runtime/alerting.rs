//! Whom `<notify>` names is told: events are offered to `alerts`, and what is due is carried by
//! the courier, on a thread of its own for each try.
//!
//! Where the registry has no `<notify>` this costs a comparison per event. Where it has one and
//! all is well, there is no thread and no timer either. There is at most one thread per receiver,
//! for at most [`courier::PATIENCE`]; it hands its outcome to the loop, so a receiver that is
//! silent holds nobody up.

use std::{cell::RefCell, collections::HashSet, convert::Infallible, thread, time::Duration};

use tokio::sync::mpsc;

use super::{clock, driver::Driver, messages::Internal};
use crate::{
    alerts::{Alerts, Change, Delivery, DeskId, Failure, Sender, Standing},
    courier,
    model::Moment,
    registry::{NotifyTarget, Registry},
    wire::{EventKind, EventRecord},
};

/// At the end of the Supervisor, for what has not been told.
const FAREWELL: Duration = Duration::from_secs(2);

/// How one try ended.
pub(super) struct Delivered {
    desk: DeskId,
    outcome: Result<(), Failure>,
}

pub(super) struct Alerting {
    /// In a cell, since events are told of in the midst of everything.
    alerts: RefCell<Alerts>,
    sender: Sender,
    /// Each thread has one; when all are gone, nothing is under way any more.
    under_way: mpsc::Sender<Infallible>,
    all_done: mpsc::Receiver<Infallible>,
}

impl Alerting {
    pub fn new(registry: &Registry) -> Self {
        let (under_way, all_done) = mpsc::channel(1);
        let mut alerting = Self {
            alerts: RefCell::default(),
            sender: Sender {
                host: courier::host(),
                registry: registry.file.display().to_string(),
                version: env!("CARGO_PKG_VERSION"),
                pid: std::process::id(),
            },
            under_way,
            all_done,
        };
        alerting.take_over(registry);
        alerting
    }

    fn take_over(&mut self, registry: &Registry) {
        let ids: HashSet<&str> = registry.components.iter().map(|one| one.id.as_str()).collect();
        let forgotten = self.alerts.get_mut().take_over(&registry.config.notify, &ids);
        if forgotten > 0 {
            tracing::warn!(forgotten, "notices for receivers that left the registry are not sent");
        }
    }

    pub fn next_deadline(&self) -> Option<Moment> {
        self.alerts.borrow().next_deadline()
    }
}

impl Driver {
    /// Offers an event to those who are told without looking.
    pub fn offer_to_alerts(&self, event: &EventRecord) {
        if self.alerting.alerts.borrow().is_silent() {
            return;
        }
        let standing = event.component.as_deref().and_then(|id| self.standing(id));
        self.alerting.alerts.borrow_mut().offer(clock::now(), event, standing);
    }

    fn standing(&self, id: &str) -> Option<Standing> {
        let view = self.supervisor.component(id)?;
        Some(Standing {
            state: view.state,
            health: view.health,
            restarts: view.restarts,
            held: view.hold.is_some(),
        })
    }

    pub fn take_over_alerts(&mut self, registry: &Registry) {
        self.alerting.take_over(registry);
    }

    /// At the end of each turn: has what is due delivered.
    pub fn send_alerts(&mut self, now: Moment) {
        if self.alerting.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let alerting = &mut self.alerting;
        let due = alerting.alerts.get_mut().due(now, &alerting.sender, &clock::rfc3339(now));
        for delivery in due {
            self.carry(delivery);
        }
    }

    fn carry(&mut self, delivery: Delivery) {
        let (internal, under_way) = (self.internal.clone(), self.alerting.under_way.clone());
        let Delivery { desk, target, message } = delivery;
        let carried = thread::Builder::new().name("courier".to_owned()).spawn(move || {
            let outcome = courier::deliver(&target, &message);
            trace(&target, &outcome);
            let _ended_meanwhile =
                internal.send(Internal::AlertDelivered(Delivered { desk, outcome }));
            drop(under_way);
        });
        if let Err(error) = carried {
            let outcome = Err(Failure::passing(format!("cannot start a thread: {error}")));
            self.alert_delivered(Delivered { desk, outcome });
        }
    }

    pub fn alert_delivered(&mut self, delivered: Delivered) {
        let Delivered { desk, outcome } = delivered;
        let alerts = self.alerting.alerts.get_mut();
        let change = alerts.ended(clock::now(), desk, outcome, fastrand::f64());
        if let Some((target, change)) = change {
            // Events about the Supervisor's own doings make no notices: no alert of an alert.
            self.tell(
                None::<super::telling::About<'_>>,
                EventKind::Dropped,
                change_in_words(&target, change),
                None,
            );
        }
    }

    /// The same before another program takes over; should it not, telling goes on.
    pub async fn flush_alerts(&mut self) {
        if self.alerting.next_deadline().is_some() {
            self.send_last_alerts().await;
            let registry = std::sync::Arc::clone(self.supervisor.registry());
            self.alerting = Alerting::new(&registry);
        }
    }

    /// What has not been told yet is, for as long as the end may wait for it.
    pub async fn send_last_alerts(&mut self) {
        let alerting = &mut self.alerting;
        let at = clock::rfc3339(clock::now());
        let last = alerting.alerts.get_mut().last(&alerting.sender, &at);
        for delivery in last {
            self.carry(delivery);
        }
        let (no_more, _never_used) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.alerting.under_way, no_more));
        let all_done = self.alerting.all_done.recv();
        if tokio::time::timeout(FAREWELL, all_done).await.is_err() {
            let untold = self.alerting.alerts.get_mut().untold();
            tracing::warn!(untold, "the Supervisor ends before all notices were delivered");
        }
    }
}

fn trace(target: &NotifyTarget, outcome: &Result<(), Failure>) {
    let receiver = courier::shown(target);
    match outcome {
        Ok(()) => tracing::info!(receiver, "notices were delivered"),
        Err(failure) => {
            tracing::warn!(receiver, why = failure.why(), "notices could not be delivered");
        }
    }
}

fn change_in_words(target: &NotifyTarget, change: Change) -> String {
    let receiver = courier::shown(target);
    match change {
        Change::GivenUp { why, tries, notices } => {
            let tries = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
            let notices = match notices {
                1 => "a notice".to_owned(),
                more => format!("{more} notices"),
            };
            format!(
                "{notices} could not be delivered to {receiver} in {tries}: {why}; look at \
                 <notify> and at the receiver, and try with s7supervisor check --notify"
            )
        }
        Change::Again { lost } => {
            format!("notices are delivered to {receiver} again; {lost} were lost meanwhile")
        }
    }
}
