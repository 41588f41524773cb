use std::time::Duration;

use super::*;
use crate::{
    model::{ComponentId, Shared},
    registry::{Config, Leftovers, Probe, TraceLevel},
};

fn id(text: &str) -> ComponentId {
    ComponentId::new(text).expect("an id")
}

fn three() -> Registry {
    let mut is = Component::new(id("is"), "/s7/bin/ImageServer");
    is.description = "Image Server".to_owned();
    is.start_delay = Duration::from_secs(5);
    let mut ps = Component::new(id("ps"), "java");
    ps.arguments = vec!["-Xmx512m".to_owned(), "-Dname=two words".to_owned()];
    ps.start_priority = 2;
    ps.depends_on = vec![id("is"), id("svg")];
    ps.environment.insert("SECRET".to_owned(), "hunter2".to_owned());
    ps.restart.max_restarts = None;
    let mut svg = Component::new(id("svg"), "/s7/bin/svg");
    svg.enabled = false;
    svg.stop.command = Some(vec!["svgctl".to_owned(), "stop".to_owned()]);
    svg.ready = Some(
        Probe {
            check: Check::Tcp { host: "127.0.0.1".to_owned(), port: 27346 },
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 3,
            successes: 1,
            start_period: Duration::ZERO,
            jitter: Probe::JITTER,
        }
        .into(),
    );
    Registry {
        file: "/s7/conf/SupervisorRegistry.xml".into(),
        install_folder: "/s7".into(),
        config: Config {
            tcp_port: None,
            log: "/s7/logs/Supervisor.log".into(),
            temp: "/s7/temp".into(),
            trace_level: TraceLevel(2),
            trace_stats_interval: None,
            keep_days: 14,
            control_group: None,
            starts_per_minute: None,
            leftovers: Leftovers::Adopt,
            notify: Vec::new(),
        },
        components: [ps, is, svg].map(Shared::from).to_vec(),
    }
}

#[test]
fn the_plan_shows_order_and_commands_and_no_secret() {
    let missing = |component: &Component| component.id == id("is");
    let text = render(&three(), &missing, false);
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text);
}

#[test]
fn the_plan_is_there_for_programs_too() {
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&Plan::new(&three())).expect("a plan is JSON")
    );
}

#[test]
fn an_executable_is_looked_for_where_the_start_would() {
    let mut component = Component::new(id("sh"), "sh");
    assert!(!is_missing(&component));
    component.environment.insert("PATH".to_owned(), "/nowhere".to_owned());
    assert!(is_missing(&component));
    assert!(is_missing(&Component::new(id("etc"), "/etc")));
}
