//! Alerts in virtual time: what a receiver would get, and when.

use std::time::Duration;

use super::*;
use crate::{
    registry::Notify,
    wire::{ComponentState, EventKind, Health},
};

const URL: &str = "http://127.0.0.1:9000/alerts";

/// Alerts, a clock that moves when it is told to, and receivers that answer as they are told.
struct Lab {
    alerts: Alerts,
    now: Moment,
    seq: u64,
}

fn rule(event: &str, interval: u64) -> Notify {
    Notify {
        events: event.split_whitespace().map(str::to_owned).collect(),
        interval: Duration::from_secs(interval),
        restarts: 3,
        within: Duration::from_mins(1),
        targets: vec![NotifyTarget::Webhook { url: URL.to_owned() }],
    }
}

fn sender() -> Sender {
    Sender {
        host: "img-prod-3".to_owned(),
        registry: "/opt/is/conf/SupervisorRegistry.xml".to_owned(),
        version: "1.2.3",
        pid: 812,
    }
}

const ALL: &str = "failed unhealthy recovered restarts";

impl Lab {
    fn new(rules: &[Notify]) -> Self {
        let mut alerts = Alerts::default();
        alerts.take_over(rules, &HashSet::from(["ps", "is", "web"]));
        Self { alerts, now: Moment::from_boot(Duration::from_hours(1)), seq: 0 }
    }

    fn at(&self) -> String {
        format!("t{:.0}", self.now.since_boot().as_secs_f64() - 3_600.0)
    }

    fn happens(&mut self, id: &str, kind: EventKind, text: &str, standing: Standing) {
        self.seq += 1;
        let event = EventRecord {
            seq: self.seq,
            at: self.at(),
            component: Some(id.to_owned()),
            run: None,
            kind,
            text: text.to_owned(),
            origin: None,
        };
        self.alerts.offer(self.now, &event, Some(standing));
    }

    fn fails(&mut self, id: &str) {
        let standing = standing(ComponentState::Failed, 0);
        self.happens(id, EventKind::Failed, "failed: exit 1", standing);
    }

    fn runs(&mut self, id: &str) {
        let standing = standing(ComponentState::Running, 0);
        self.happens(id, EventKind::Running, "running as pid 7", standing);
    }

    fn falls_unhealthy(&mut self, id: &str) {
        let standing = Standing { health: Health::Failing, ..standing(ComponentState::Running, 0) };
        self.happens(id, EventKind::Unhealthy, "unhealthy: GET / no answer", standing);
    }

    fn restarts(&mut self, id: &str, restarts: u32) {
        self.happens(id, EventKind::Backoff, "exit 1", standing(ComponentState::Backoff, restarts));
        self.happens(id, EventKind::Running, "runs", standing(ComponentState::Running, restarts));
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// What is to be delivered now.
    fn due(&mut self) -> Vec<Delivery> {
        let at = self.at();
        self.alerts.due(self.now, &sender(), &at)
    }

    /// Goes on until something is to be delivered: when, in seconds, and what.
    fn next(&mut self) -> (u64, Delivery) {
        let begin = self.now;
        for _ in 0..100 {
            let at = self.alerts.next_deadline().expect("something is to be told");
            self.now = self.now.max(at);
            if let Some(delivery) = self.due().pop() {
                return (self.now.since(begin).as_secs(), delivery);
            }
        }
        panic!("deadlines come, and nothing is due");
    }

    fn taken(&mut self, delivery: &Delivery) -> Option<Change> {
        self.alerts.ended(self.now, delivery.desk, Ok(()), 0.5).map(|(_, change)| change)
    }

    fn refused(&mut self, delivery: &Delivery, failure: Failure) -> Option<Change> {
        self.alerts.ended(self.now, delivery.desk, Err(failure), 0.5).map(|(_, change)| change)
    }

    fn next_taken(&mut self) -> (u64, Arc<Message>) {
        let (after, delivery) = self.next();
        assert_eq!(self.taken(&delivery), None);
        (after, delivery.message)
    }
}

fn standing(state: ComponentState, restarts: u32) -> Standing {
    Standing { state, health: Health::None, restarts, held: false }
}

fn kinds(message: &Message) -> Vec<(Option<&str>, NoticeKind, u32)> {
    let notices = message.notices.iter();
    notices.map(|one| (one.component.as_deref(), one.kind, one.count)).collect()
}

use NoticeKind::{Failed, Recovered, Restarts, Unhealthy};

#[test]
fn the_first_message_comes_at_once_with_what_belongs_to_it_and_the_next_an_interval_later() {
    let mut lab = Lab::new(&[rule("failed", 600)]);
    lab.fails("ps");
    lab.pass(1);
    lab.fails("is");
    assert!(lab.due().is_empty(), "it waits a moment for what belongs to it");
    let (after, first) = lab.next_taken();
    assert_eq!(after, 1);
    assert_eq!(first.summary, "ps failed (+1)");
    assert_eq!(kinds(&first), [(Some("ps"), Failed, 1), (Some("is"), Failed, 1)]);
    assert_eq!(lab.alerts.next_deadline(), None, "nothing is left to do");

    lab.pass(60);
    lab.fails("web");
    lab.pass(60);
    lab.fails("ps");
    let (after, sum) = lab.next_taken();
    assert_eq!(after, 600 - 120);
    assert_eq!(kinds(&sum), [(Some("web"), Failed, 1), (Some("ps"), Failed, 1)]);

    lab.pass(3_600);
    lab.fails("ps");
    assert_eq!(lab.next_taken().0, 2, "after a quiet time at once again");
}

#[test]
fn a_flapping_component_is_one_line_of_the_sum() {
    let mut lab = Lab::new(&[rule(ALL, 600)]);
    lab.fails("ps");
    lab.next_taken();
    for _ in 0..20 {
        lab.pass(5);
        lab.falls_unhealthy("ps");
        lab.pass(1);
        lab.runs("ps");
    }
    let (_, sum) = lab.next_taken();
    assert_eq!(kinds(&sum), [(Some("ps"), Unhealthy, 20), (Some("ps"), Recovered, 1)]);
    assert_eq!((&*sum.notices[0].first_at, &*sum.notices[0].at), ("t7", "t121"));
    assert!(sum.text.contains("(20 times since t7)"), "{}", sum.text);
    assert_eq!(sum.summary, "ps recovered", "how it is now");
}

#[test]
fn it_has_recovered_when_it_has_been_well_for_a_while() {
    let mut lab = Lab::new(&[rule("recovered", 0)]);
    lab.runs("is");
    assert_eq!(lab.alerts.next_deadline(), None, "who was never in trouble does not recover");
    lab.fails("ps");
    lab.pass(100);
    lab.runs("ps");
    lab.pass(9);
    lab.happens("ps", EventKind::Crashed, "exit 1", standing(ComponentState::Running, 1));
    assert_eq!(lab.alerts.next_deadline(), None, "it fell again");
    lab.pass(20);
    lab.runs("ps");
    let (after, message) = lab.next_taken();
    assert_eq!(after, 12, "10 s well, and the moment that every message waits");
    assert_eq!(kinds(&message), [(Some("ps"), Recovered, 1)]);
    assert_eq!(message.notices[0].state, Some(ComponentState::Running));
    assert_eq!(message.notices[0].text, "well again after 2 m 9 s: running as pid 7");
}

#[test]
fn with_a_health_check_it_is_well_when_that_says_so() {
    let mut lab = Lab::new(&[rule("unhealthy recovered", 0)]);
    lab.falls_unhealthy("ps");
    lab.next_taken();
    let unknown = Standing { health: Health::Unknown, ..standing(ComponentState::Running, 1) };
    lab.happens("ps", EventKind::Running, "running as pid 8", unknown);
    assert_eq!(lab.alerts.next_deadline(), None, "it runs, and nobody knows whether it is well");
    lab.happens("ps", EventKind::Healthy, "healthy: GET / answered 200", unknown);
    assert_eq!(kinds(&lab.next_taken().1), [(Some("ps"), Recovered, 1)]);
}

#[test]
fn a_rate_of_restarts_is_told_once_until_it_has_been_quiet() {
    let mut lab = Lab::new(&[rule("restarts recovered", 0)]);
    lab.restarts("ps", 0);
    for restarts in 1..=3 {
        lab.pass(5);
        lab.restarts("ps", restarts);
    }
    assert_eq!(lab.alerts.next_deadline(), None, "3 restarts are not more than 3");
    lab.pass(5);
    lab.restarts("ps", 4);
    let (_, message) = lab.next_taken();
    assert_eq!(kinds(&message), [(Some("ps"), Restarts, 1)]);
    assert_eq!(message.notices[0].text, "4 restarts within 1 m 0 s; the last: exit 1");
    lab.pass(5);
    lab.restarts("ps", 5);
    let (after, message) = lab.next_taken();
    assert_eq!((after, kinds(&message)), (62, vec![(Some("ps"), Recovered, 1)]));
    for restarts in 6..=9 {
        lab.pass(5);
        lab.restarts("ps", restarts);
    }
    assert_eq!(kinds(&lab.next_taken().1), [(Some("ps"), Restarts, 1)], "a new time");
}

#[test]
fn restarts_far_apart_are_no_rate() {
    let mut lab = Lab::new(&[rule("restarts", 0)]);
    lab.restarts("ps", 0);
    for restarts in 1..=50 {
        lab.pass(30);
        lab.restarts("ps", restarts);
    }
    assert_eq!(lab.alerts.next_deadline(), None);
}

#[test]
fn each_rule_tells_what_it_names() {
    let mut lab = Lab::new(&[rule("unhealthy", 0)]);
    lab.fails("ps");
    lab.runs("ps");
    assert!(lab.alerts.next_deadline().is_some(), "only whether it recovers is open");
    lab.pass(60);
    assert!(lab.due().is_empty());
    assert_eq!(lab.alerts.next_deadline(), None);
    lab.happens("ps", EventKind::Limit, "memory 2G", standing(ComponentState::Running, 0));
    assert_eq!(kinds(&lab.next_taken().1), [(Some("ps"), Unhealthy, 1)]);
}

#[test]
fn adoption_is_one_notice_about_the_supervisor_and_none_where_a_hold_meant_it() {
    let mut lab = Lab::new(&[rule("failed", 0)]);
    let running = standing(ComponentState::Running, 0);
    let held = Standing { held: true, ..running };
    lab.happens("web", EventKind::Adopted, "taken over", held);
    assert_eq!(lab.alerts.next_deadline(), None);
    lab.happens("ps", EventKind::Adopted, "taken over", running);
    lab.happens("is", EventKind::Adopted, "taken over", running);
    let (_, message) = lab.next_taken();
    assert_eq!(kinds(&message), [(None, NoticeKind::Supervisor, 2)]);
    assert_eq!(message.summary, "the Supervisor was restarted");
}

#[test]
fn a_refused_message_is_tried_again_as_it_is_and_what_comes_meanwhile_waits() {
    let mut lab = Lab::new(&[rule("failed", 0)]);
    lab.fails("ps");
    let (_, first) = lab.next();
    lab.fails("is");
    lab.pass(3_000);
    assert!(lab.due().is_empty(), "one message at a time, however long it takes");
    assert_eq!(lab.refused(&first, Failure::passing("answered 503")), None);
    let (after, again) = lab.next();
    assert_eq!((after, again.message.id.clone()), (15, first.message.id.clone()));
    assert_eq!(lab.taken(&again), None, "nothing to tell of: it is told");
    assert_eq!(kinds(&lab.next_taken().1), [(Some("is"), Failed, 1)]);
    assert_eq!(lab.alerts.untold(), 0);
}

#[test]
fn what_is_given_up_is_told_once_and_counted_in_the_next_message() {
    let mut lab = Lab::new(&[rule("failed", 0)]);
    lab.fails("ps");
    lab.fails("is");
    let mut told = Vec::new();
    let mut tries = 0;
    while lab.alerts.next_deadline().is_some() {
        let (_, delivery) = lab.next();
        tries += 1;
        told.extend(lab.refused(&delivery, Failure::passing("refused")));
    }
    let given_up = Change::GivenUp { why: "refused".to_owned(), tries: 5, notices: 2 };
    assert_eq!((tries, told), (5, vec![given_up]));

    lab.fails("web");
    let (_, second) = lab.next();
    assert_eq!(second.message.lost, 2);
    assert!(second.message.text.contains("2 earlier notices could not"), "{}", second.message.text);
    assert_eq!(lab.refused(&second, Failure::lasting("answered 404")), None, "not again");
    assert_eq!(lab.alerts.next_deadline(), None, "what lasts is not tried again");

    lab.fails("ps");
    let (_, third) = lab.next();
    assert_eq!(third.message.lost, 3);
    assert_eq!(lab.taken(&third), Some(Change::Again { lost: 3 }));
    lab.fails("ps");
    assert_eq!(lab.next_taken().1.lost, 0);
}

#[test]
fn a_reload_keeps_what_was_collected_for_who_stays() {
    let mut lab = Lab::new(&[rule("failed recovered", 600)]);
    lab.fails("ps");
    let mut more = rule("failed recovered", 60);
    more.targets.push(NotifyTarget::Webhook { url: "http://127.0.0.1:9001/".to_owned() });
    let ids = HashSet::from(["ps", "is"]);
    assert_eq!(lab.alerts.take_over(&[more], &ids), 0);
    lab.pass(2);
    let due = lab.due();
    assert_eq!(due.len(), 1, "the new one knows nothing of it");
    assert_eq!(kinds(&due[0].message), [(Some("ps"), Failed, 1)]);
    lab.runs("ps");
    assert!(lab.alerts.next_deadline().is_some(), "that it was in trouble is still known");
    assert_eq!(lab.alerts.take_over(&[], &ids), 1, "the message that is under way");
    assert!(lab.alerts.is_silent());
    assert_eq!(lab.taken(&due[0]), None, "nobody waits for it any more");
}

#[test]
fn at_the_end_all_that_waits_goes_out() {
    let mut lab = Lab::new(&[rule("failed", 600)]);
    lab.fails("ps");
    let (_, first) = lab.next();
    lab.refused(&first, Failure::passing("refused"));
    lab.fails("is");
    let last = lab.alerts.last(&sender(), "t9");
    assert_eq!(last.len(), 1);
    assert_eq!(kinds(&last[0].message), [(Some("ps"), Failed, 1), (Some("is"), Failed, 1)]);
}

#[test]
fn a_thousand_failures_make_one_message_that_can_be_read() {
    let mut lab = Lab::new(&[rule("failed", 0)]);
    for n in 0..1_000 {
        lab.fails(&format!("c{n}"));
    }
    let (_, message) = lab.next_taken();
    assert_eq!((message.notices.len(), message.more), (200, 800));
    assert_eq!(message.summary, "c0 failed (+999)");
    assert!(message.text.contains("800 more happened"), "{}", message.text);
}

#[test]
fn nobody_to_tell_costs_nothing() {
    let mut lab = Lab::new(&[Notify { targets: Vec::new(), ..rule(ALL, 0) }]);
    assert!(lab.alerts.is_silent());
    lab.fails("ps");
    assert_eq!(lab.alerts.next_deadline(), None);
}

#[test]
fn a_message_as_people_and_programs_read_it() {
    let mut lab = Lab::new(&[rule(ALL, 600)]);
    lab.happens(
        "ps",
        EventKind::Failed,
        "failed: exit 1\r\nafter \u{1b}[31m12 s",
        standing(ComponentState::Failed, 10),
    );
    lab.falls_unhealthy("is");
    let (_, message) = lab.next_taken();
    assert_eq!(message.subject(), "[s7supervisor img-prod-3] ps failed (+1)");
    let json = serde_json::to_string_pretty(&*message).expect("it can be written");
    insta::assert_snapshot!(format!("{}\n{json}", message.text));
}
