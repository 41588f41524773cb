//! The link to a host: lost, back, another version; several hosts that do not disturb each other.

use std::time::Duration;

use super::demo::{self, Sim};
use crate::{
    console::feed::{Ask, Link, News},
    wire::{ComponentState, EventKind, EventRecord, Update},
};

fn lost(seconds: u64) -> News {
    let retry_in = Duration::from_secs(seconds);
    News::Link(Link::Lost { why: "broken pipe".to_owned(), retry_in })
}

#[test]
fn a_lost_link_keeps_the_last_screen_and_says_how_old_it_is() {
    let mut sim = Sim::live(80, 24);
    sim.news(0, lost(2));
    sim.shows("connection lost: broken pipe");
    sim.wait_ms(8000);
    sim.shows("STALE 8 s · reconnecting · r now");
    sim.shows("● is".replace('●', "?").as_str());
    sim.news(0, lost(3));
    sim.shows("STALE 8 s · reconnecting in 3 s · r now");
    // Nothing seems to go on meanwhile.
    let uptime = sim.screen().lines().find(|line| line.contains("cache-warmer")).map(str::to_owned);
    sim.wait_ms(5000);
    let later = sim.screen().lines().find(|line| line.contains("cache-warmer")).map(str::to_owned);
    assert_eq!(uptime, later);
    // A connection without a snapshot is not fresh yet.
    sim.news(0, News::Link(Link::Live));
    sim.shows("STALE");
    sim.asked.clear();
    sim.snapshot(0, demo::components());
    sim.shows_not("STALE");
    sim.shows("connected again");
    // The logs are wished for anew, from where they ended.
    let wish = sim.asked.iter().find_map(|request| match &request.ask {
        Ask::Logs { wanted } => Some(wanted.clone()),
        _ => None,
    });
    let wish = wish.expect("the new connection is asked for the logs");
    assert_eq!((wish[0].id.as_str(), wish[0].after), ("is", Some(6)));
}

#[test]
fn another_version_is_named() {
    let mut sim = Sim::new(100, 24);
    let link = Link::VersionMismatch { ours: "1.2.0".to_owned(), theirs: "1.0.3".to_owned() };
    sim.news(0, News::Link(link));
    sim.shows("img-prod-3 runs version 1.0.3, this console is 1.2.0");
}

#[test]
fn one_host_down_does_not_disturb_the_others() {
    let mut sim = Sim::hosts(100, 24, &["a", "b"]);
    sim.snapshot(0, demo::components().drain(..2).collect());
    sim.snapshot(1, demo::components().drain(..2).collect());
    sim.wait_ms(4000);
    sim.news(1, lost(5));
    sim.shows("b STALE");
    sim.keys("r r");
    assert_eq!(sim.commands().len(), 1, "the first host is acted on as ever");
    assert_eq!(sim.asked.iter().filter(|request| request.host == 0).count(), 2, "logs, restart");
    sim.keys("G x");
    assert_eq!(sim.commands().len(), 1);
    sim.shows("not sent, there is no connection to b");
}

#[test]
fn the_same_name_on_two_hosts_is_two_components() {
    let mut sim = Sim::hosts(110, 24, &["a", "b"]);
    sim.snapshot(0, demo::components().drain(..1).collect());
    let mut other = demo::components().remove(0);
    other.state = ComponentState::Failed;
    other.pid = None;
    sim.snapshot(1, vec![other]);
    sim.wait_ms(4000);
    let rows: Vec<String> =
        sim.screen().lines().filter(|line| line.contains(" is ")).map(str::to_owned).collect();
    assert_eq!(rows.len(), 3, "two rows and the log's title: {rows:?}");
    sim.keys("j s");
    assert_eq!(sim.asked.last().map(|request| request.host), Some(1));
}

#[test]
fn what_fails_is_told_at_once_and_kept() {
    let mut sim = Sim::live(100, 24);
    let event = EventRecord {
        seq: 200,
        at: "2026-11-23T14:25:01Z".to_owned(),
        component: Some("gateway".to_owned()),
        run: None,
        kind: EventKind::Failed,
        text: "cannot start /opt/gw: not found".to_owned(),
        origin: None,
    };
    sim.update(0, Update::Event { event });
    sim.shows("gateway: cannot start /opt/gw: not found");
    sim.wait_ms(60_000);
    sim.shows("gateway: cannot start");
    sim.keys("e");
    let told = sim.screen().matches("cannot start /opt/gw").count();
    assert_eq!(told, 1, "once among the events, and no longer in the footer");
}

#[test]
fn missed_messages_are_said() {
    let mut sim = Sim::live(100, 24);
    sim.keys("l");
    sim.logs(0, "is", 1, 10);
    sim.update(0, Update::Gap { missed: 4711 });
    sim.shows("4711 updates were missed");
    // Logs come another way: nothing of them is lost.
    sim.shows_not("lines dropped");
}

#[test]
fn a_host_that_is_up_for_longer_than_this_machine_shows_its_true_uptimes() {
    let mut sim = Sim::new(100, 24);
    let mut old = demo::components().remove(0);
    // The machine of these tests is up for eleven days.
    old.uptime_s = Some(40.0 * 86_400.0);
    sim.snapshot(0, vec![old]);
    sim.shows("40d");
}

#[test]
fn a_connection_that_goes_on_where_it_broke_needs_no_snapshot() {
    let mut sim = Sim::live(80, 24);
    sim.news(0, lost(2));
    sim.wait_ms(9000);
    for link in [Link::Connecting, Link::Live] {
        sim.news(0, News::Link(link));
        sim.shows("STALE");
    }
    sim.asked.clear();
    sim.news(0, News::Link(Link::Resumed));
    sim.shows_not("STALE");
    sim.shows("connected again");
    assert!(sim.asked.iter().any(|request| matches!(request.ask, Ask::Logs { .. })));
}

#[test]
fn a_refusal_is_told_once_however_often_it_is_tried() {
    let mut sim = Sim::new(100, 24);
    for _ in 0..3 {
        sim.news(0, News::Link(Link::Connecting));
        sim.news(0, News::Link(Link::Refused { why: "not permitted: no token".to_owned() }));
        sim.shows("not permitted: no token");
        sim.wait_ms(30_000);
    }
    sim.keys("e");
    let told = sim.screen().matches("img-prod-3: not permitted").count();
    assert_eq!(told, 1, "{}", sim.screen());
}
