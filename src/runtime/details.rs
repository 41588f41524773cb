//! How a component is launched and supervised, in words, and its processes now.

use std::time::Duration;

use super::{driver::Driver, messages::Reply, status::sanitised};
use crate::{
    logs,
    model::{ComponentId, secret},
    registry::{Check, Component, Limits, Probe, RestartPolicy, RestartWhen, StopPolicy},
    sampler::ProcessUsage,
    wire::{ComponentDetails, EnvironmentVariable, ProcessInfo},
};

impl Driver {
    /// Answers from the blocking pool: to walk a tree takes time.
    pub fn reply_details(&self, id: &str, reply: Reply<ComponentDetails>) {
        let view = self.supervisor.component(id);
        let Some((view, config)) = view.zip(self.supervisor.config(id).cloned()) else {
            let _caller_left = reply.send(Err(self.unknown(id)));
            return;
        };
        let components = self.supervisor.registry().components.iter();
        let dependents = components.filter(|other| other.depends_on.contains(&view.id));
        let needed_by = dependents.map(|other| other.id.to_string()).collect();
        let tree = view.run.and_then(|run| Some((run, self.running.get(&run)?.source())));
        let samples = self.samples.clone();
        tokio::task::spawn_blocking(move || {
            let processes =
                tree.map_or_else(Vec::new, |(run, source)| samples.inspect(run, &source));
            let processes = processes.iter().map(process).collect();
            let _caller_left = reply.send(Ok(details(&config, needed_by, processes)));
        });
    }
}

fn details(
    component: &Component,
    needed_by: Vec<String>,
    processes: Vec<ProcessInfo>,
) -> ComponentDetails {
    let executable = component.executable.display().to_string();
    let words = std::iter::once(executable.as_str());
    let words = words.chain(component.arguments.iter().map(String::as_str));
    ComponentDetails {
        id: component.id.to_string(),
        command: secret::masked_command(words),
        working_directory: component.working_directory.display().to_string(),
        environment: component.environment.iter().map(variable).collect(),
        depends_on: component.depends_on.iter().map(ComponentId::to_string).collect(),
        needed_by,
        start_priority: component.start_priority,
        restart_policy: restart(&component.restart),
        stop_policy: stop(&component.stop),
        ready_check: component.ready.as_deref().map(probe),
        health_check: component.health.as_deref().map(probe),
        user: component.user.clone(),
        environment_file: component
            .environment_file
            .as_ref()
            .map(|file| file.display().to_string()),
        limits: limits(&component.limits),
        log_file: logs::file_of_today(&component.output.log).display().to_string(),
        processes,
    }
}

fn variable((name, value): (&String, &String)) -> EnvironmentVariable {
    let value = (!secret::is_secret_name(name)).then(|| secret::masked(value).into_owned());
    EnvironmentVariable { name: name.clone(), value }
}

fn process(usage: &ProcessUsage) -> ProcessInfo {
    let words = secret::masked_command(usage.command.iter().map(String::as_str));
    ProcessInfo {
        pid: usage.pid.unsigned_abs(),
        parent: usage.parent.unsigned_abs(),
        command: sanitised(words.join(" ").as_bytes()),
        cpu_percent: usage.cpu_percent,
        memory_bytes: Some(usage.memory_bytes),
        threads: usage.threads,
        open_files: usage.open_files,
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn restart(policy: &RestartPolicy) -> String {
    let when = match policy.when {
        RestartWhen::Always => "always",
        RestartWhen::OnFailure => "on failure",
        RestartWhen::Never => return "never".to_owned(),
    };
    match policy.max_restarts {
        None => format!("{when}, without limit"),
        Some(most) => format!("{when}, at most {most} within {}", seconds(policy.window)),
    }
}

fn stop(policy: &StopPolicy) -> String {
    let how = match &policy.command {
        Some(command) => secret::masked_command(command.iter().map(String::as_str)).join(" "),
        None => format!("SIG{}", policy.signal.name()),
    };
    format!("{how}, killed after {}", seconds(policy.timeout))
}

fn probe(probe: &Probe) -> String {
    let every = seconds(probe.interval);
    match &probe.check {
        Check::Tcp { host, port } => format!("tcp {host}:{port} every {every}"),
        Check::Http { url, .. } => format!("http {} every {every}", secret::masked(url)),
        Check::Exec { command } => {
            let words = secret::masked_command(command.iter().map(String::as_str));
            format!("exec {} every {every}", words.join(" "))
        }
        Check::Log { pattern } => format!("a line that matches {pattern}"),
        Check::Notify => "notify".to_owned(),
    }
}

fn limits(limits: &Limits) -> Vec<String> {
    let Limits { memory, memory_max, open_files, core, nice, oom_score_adjust, cpu, processes } =
        limits;
    let known = [
        memory.map(|bytes| format!("memory at most {}", amount(bytes))),
        memory_max.map(|bytes| format!("memory never above {}", amount(bytes))),
        cpu.map(|cores| format!("CPU at most {cores} cores")),
        processes.map(|count| format!("processes at most {count}")),
        open_files.map(|count| format!("open files at most {count}")),
        core.map(|bytes| format!("core files at most {}", amount(bytes))),
        nice.map(|nice| format!("nice {nice}")),
        oom_score_adjust.map(|score| format!("oom score adjusted by {score}")),
    ];
    known.into_iter().flatten().collect()
}

/// Bytes in the largest unit that divides them.
pub(super) fn amount(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_looks_like_a_secret_leaves_the_engine() {
        let id = ComponentId::new("ps").expect("an id");
        let mut component = Component::new(id, "/usr/bin/java");
        component.arguments =
            ["-Xmx1g", "-Ddb.password=hunter2", "--token", "hunter2"].map(str::to_owned).to_vec();
        let environment = [
            ("HOME", "/opt"),
            ("API_KEY", "hunter2"),
            ("DB_URL", "jdbc:postgresql://u:hunter2@db/x"),
        ];
        component.environment =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        component.stop.command =
            Some(["/opt/stop", "--secret=hunter2"].map(str::to_owned).to_vec());
        let running = process(&ProcessUsage {
            pid: 7,
            parent: 1,
            command: component.arguments.clone(),
            cpu_percent: None,
            memory_bytes: 1,
            threads: 1,
            open_files: None,
        });
        let told = details(&component, Vec::new(), vec![running]);
        let json = serde_json::to_string(&told).expect("plain data");
        assert!(!json.contains("hunter2"), "{json}");
        assert_eq!(told.processes[0].command, "-Xmx1g -Ddb.password=*** --token ***");
        let values: Vec<_> = told.environment.iter().map(|it| it.value.as_deref()).collect();
        assert_eq!(values, [None, Some("jdbc:postgresql://u:***@db/x"), Some("/opt")]);
    }

    #[test]
    fn limits_read_well() {
        let given = Limits { memory: Some(512 << 20), cpu: Some(1.5), ..Limits::default() };
        assert_eq!(limits(&given), ["memory at most 512 MiB", "CPU at most 1.5 cores"]);
        assert_eq!(amount(1000), "1000 bytes");
    }
}
