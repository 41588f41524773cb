//! What changes when one registry takes the place of another.

use std::collections::HashMap;

use crate::{
    model::ComponentId,
    registry::{Component, Config, Registry},
};

/// The difference of two registries, component by component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    pub added: Vec<ComponentId>,
    pub removed: Vec<ComponentId>,
    /// The process itself would be another: a restart.
    pub changed: Vec<Change>,
    /// New values that a living process can stay under.
    pub updated: Vec<Change>,
    pub unchanged: Vec<ComponentId>,
}

/// One component that differs, and the registry's names of what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub id: ComponentId,
    pub elements: Vec<&'static str>,
}

/// Compares the components of two registries.
pub fn difference(old: &Registry, new: &Registry) -> Difference {
    let (before_by_id, after_by_id) = (by_id(old), by_id(new));
    let mut result = Difference::default();
    for component in &new.components {
        let id = component.id.clone();
        let Some(before) = before_by_id.get(&id) else {
            result.added.push(id);
            continue;
        };
        let of_process = process_differences(before, component);
        let of_policy = policy_differences(before, component);
        if !of_process.is_empty() {
            let elements = of_process.into_iter().chain(of_policy).collect();
            result.changed.push(Change { id, elements });
        } else if !of_policy.is_empty() {
            result.updated.push(Change { id, elements: of_policy });
        } else {
            result.unchanged.push(id);
        }
    }
    let gone = old.components.iter().filter(|component| !after_by_id.contains_key(&component.id));
    result.removed = gone.map(|component| component.id.clone()).collect();
    result
}

fn by_id(registry: &Registry) -> HashMap<&ComponentId, &Component> {
    registry.components.iter().map(|component| (&component.id, &**component)).collect()
}

/// Names of the elements of `<config>` that differ and that only a new Supervisor takes over.
pub fn config_differences(old: &Config, new: &Config) -> Vec<&'static str> {
    collect([
        (old.tcp_port != new.tcp_port, "tcpport"),
        (old.log != new.log, "log"),
        (old.temp != new.temp, "temp"),
        (old.control_group != new.control_group, "controlGroup"),
    ])
}

fn process_differences(old: &Component, new: &Component) -> Vec<&'static str> {
    collect([
        (old.executable != new.executable, "executable"),
        (old.arguments != new.arguments, "arguments"),
        (old.working_directory != new.working_directory, "workingDirectory"),
        (
            old.environment != new.environment || old.environment_file != new.environment_file,
            "environment",
        ),
        (old.user != new.user, "user"),
        (old.group != new.group, "group"),
        (old.umask != new.umask, "umask"),
        (
            old.limits.open_files != new.limits.open_files
                || old.limits.core != new.limits.core
                || old.limits.nice != new.limits.nice
                || old.limits.oom_score_adjust != new.limits.oom_score_adjust
                || old.limits.cpu != new.limits.cpu
                || old.limits.memory_max != new.limits.memory_max
                || old.limits.processes != new.limits.processes,
            "limits",
        ),
    ])
}

fn policy_differences(old: &Component, new: &Component) -> Vec<&'static str> {
    collect([
        (old.description != new.description, "description"),
        (old.start_priority != new.start_priority, "startPriority"),
        (old.start_delay != new.start_delay, "startDelay"),
        (old.stop.timeout != new.stop.timeout, "stopTimeout"),
        (old.stop.signal != new.stop.signal, "stopSignal"),
        (old.stop.command != new.stop.command, "stopCommand"),
        (old.depends_on != new.depends_on, "dependsOn"),
        (old.enabled != new.enabled, "enabled"),
        (old.restart != new.restart, "restart"),
        (old.ready != new.ready, "ready"),
        (old.health != new.health, "health"),
        (old.limits.memory != new.limits.memory, "memory"),
        (old.output != new.output, "output"),
    ])
}

fn collect<const N: usize>(parts: [(bool, &'static str); N]) -> Vec<&'static str> {
    parts.into_iter().filter_map(|(differs, name)| differs.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;

    type Edit = fn(&mut Component);

    /// Every field is taken apart here, so that a new one cannot be forgotten above.
    #[test]
    fn every_field_of_a_component_is_compared() {
        let id = ComponentId::new("a").expect("a good id");
        let Component {
            id: _,
            description: _,
            executable: _,
            arguments: _,
            working_directory: _,
            environment: _,
            environment_file: _,
            start_priority: _,
            start_delay: _,
            stop: _,
            depends_on: _,
            enabled: _,
            restart: _,
            ready: _,
            health: _,
            limits: _,
            user: _,
            group: _,
            umask: _,
            output: _,
        } = Component::new(id.clone(), "/bin/true");
        let edits: [(Edit, bool); 20] = [
            (|c| c.description.push('x'), false),
            (|c| c.executable = PathBuf::from("/bin/false"), true),
            (|c| c.arguments.push("x".into()), true),
            (|c| c.working_directory = "/x".into(), true),
            (|c| drop(c.environment.insert("A".into(), "b".into())), true),
            (|c| c.environment_file = Some("/x".into()), true),
            (|c| c.start_priority += 1, false),
            (|c| c.start_delay = Duration::from_secs(9), false),
            (|c| c.stop.timeout = Duration::from_secs(9), false),
            (|c| c.stop.signal = crate::registry::StopSignal::Int, false),
            (|c| c.stop.command = Some(vec!["x".into()]), false),
            (|c| c.depends_on.push(ComponentId::new("b").expect("a good id")), false),
            (|c| c.enabled = false, false),
            (|c| c.restart.delay = Duration::from_secs(9), false),
            (|c| c.limits.memory = Some(1), false),
            (|c| c.limits.nice = Some(1), true),
            (|c| c.user = Some("x".into()), true),
            (|c| c.group = Some("x".into()), true),
            (|c| c.umask = Some(1), true),
            (|c| c.output.keep_days = 1, false),
        ];
        for (edit, restarts) in edits {
            let old = Component::new(id.clone(), "/bin/true");
            let mut new = old.clone();
            edit(&mut new);
            assert_ne!(old, new);
            assert_eq!(!process_differences(&old, &new).is_empty(), restarts, "{new:?}");
            assert_eq!(!policy_differences(&old, &new).is_empty(), !restarts, "{new:?}");
        }
    }
}
