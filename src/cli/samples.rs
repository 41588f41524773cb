//! What the tests of the rendering show: components in all conditions.

use jiff::Timestamp;

use crate::wire::{
    ComponentState, ComponentStatus, ContainmentLevel, GuardianForm, GuardianStatus, Health,
    Intent, LastExit, Status, SupervisorStatus,
};

pub fn now() -> Timestamp {
    "2026-11-22T14:02:07Z".parse().expect("a timestamp")
}

pub fn component(id: &str, state: ComponentState) -> ComponentStatus {
    let lives = matches!(
        state,
        ComponentState::Running | ComponentState::Starting | ComponentState::Stopping
    );
    ComponentStatus {
        id: id.to_owned(),
        description: format!("the {id} component"),
        state,
        health: Health::None,
        health_detail: None,
        pid: lives.then_some(4711),
        run: Some(12),
        uptime_s: lives.then_some(11_220.0),
        cpu_percent: lives.then_some(2.5),
        memory_bytes: lives.then_some(536_870_912),
        processes: u32::from(lives),
        restarts: 0,
        restarts_asked: 0,
        last_exit: None,
        intent: Intent::Running,
        waiting_for: None,
        next_attempt_s: None,
        attempt: 0,
        enabled: true,
        hold: None,
        reason: None,
    }
}

pub fn exit(code: Option<i32>, signal: Option<i32>) -> LastExit {
    let at = "2026-11-22T14:00:02Z".to_owned();
    LastExit { code, signal, at, core: false, oom: false, expected: false }
}

pub fn status(components: Vec<ComponentStatus>) -> Status {
    Status {
        supervisor: SupervisorStatus {
            pid: 812,
            guardian_pid: Some(811),
            guardian: Some(GuardianStatus {
                pid: 811,
                form: GuardianForm::Parent,
                uptime_s: 356_400.0,
            }),
            version: "0.1.0".to_owned(),
            uptime_s: 273_600.0,
            registry: "/usr/local/scene7/ImageServing/conf/SupervisorRegistry.xml".to_owned(),
            generation: 1,
            upgrades: 0,
            cpu_percent: 0.04,
            memory_bytes: 8_598_323,
            containment: ContainmentLevel::Cgroup,
            shutting_down: false,
        },
        components,
    }
}
