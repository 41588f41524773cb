//! Writes the metrics: what the engine knows is taken together on its thread, measured and written
//! on the blocking pool.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    clock,
    driver::Driver,
    messages::Reply,
    samples::Sample,
    tallies::{Cause, Tally},
};
use crate::{
    logs::Counters,
    metrics::{Exposition, Histogram, Kind},
    model::{ComponentId, Moment, RunId},
    probes::ProbeKind,
    supervisor::ComponentView,
    wire::{ComponentState, Health},
};

/// What was told of CPU time, so that a counter never falls: a tree's last sample can be more
/// than what is known of it after its end.
pub(super) type ToldCpu = Arc<Mutex<HashMap<ComponentId, Duration>>>;

/// Everything for one answer.
struct Facts {
    components: Vec<Component>,
    supervisor: Counters,
    latencies: Vec<(ComponentId, ProbeKind, Histogram)>,
    events: BTreeMap<&'static str, u64>,
    delays: Histogram,
    readers: usize,
    generation: u64,
    uptime: Duration,
    told: ToldCpu,
}

struct Component {
    view: ComponentView,
    tally: Tally,
    logs: Counters,
}

/// Name, help, and how to get it.
type Gauge = (&'static str, &'static str, fn(&Measured) -> Option<u64>);
type Counter = (&'static str, &'static str, fn(&Counters) -> u64);

/// What a component uses, if it lives.
#[derive(Default)]
struct Measured {
    cpu_time: Duration,
    memory: u64,
    processes: u32,
    threads: u32,
    open_files: Option<u32>,
}

impl Driver {
    /// `asked`: when the question was put, which tells how busy the loop is.
    pub fn reply_metrics(&mut self, asked: Moment, reply: Reply<String>) {
        let now = clock::now();
        self.tallies.delays.observe(now.since(asked).as_secs_f64());
        let components = self.supervisor.snapshot().into_iter().map(|view| Component {
            tally: self.tallies.components.get(&view.id).cloned().unwrap_or_default(),
            logs: self.logs.counters(&view.id).unwrap_or_default(),
            view,
        });
        let facts = Facts {
            components: components.collect(),
            supervisor: self.logs.supervisor_counters(),
            latencies: self.probes.latencies(),
            events: self.tallies.events.borrow().clone(),
            delays: self.tallies.delays,
            readers: self.publisher.updates.readers(),
            generation: self.supervisor.generation(),
            uptime: now.since(self.started),
            told: Arc::clone(&self.told_cpu),
        };
        let record = self.recording();
        let samples = self.samples.clone();
        self.with_sample(move |sample| {
            record(&sample);
            let open_files = samples.open_files();
            let _caller_left = reply.send(Ok(facts.text(&sample, &open_files, now)));
        });
    }
}

impl Facts {
    fn text(&self, sample: &Sample, open_files: &HashMap<RunId, u32>, now: Moment) -> String {
        let mut exposition = Exposition::new();
        self.own(&mut exposition, sample);
        self.states(&mut exposition, now);
        self.counters(&mut exposition);
        self.usage(&mut exposition, sample, open_files);
        self.logs(&mut exposition);
        self.latencies(&mut exposition);
        exposition.into_text()
    }

    /// The Supervisor itself.
    fn own(&self, to: &mut Exposition, sample: &Sample) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        to.family("s7supervisor_build_info", Kind::Gauge, "The version that runs; always 1.")
            .count(&version, 1);
        let (uptime, own) = (self.uptime.as_secs_f64(), &sample.own);
        let cpu = own.cpu_time.as_secs_f64();
        for (name, kind, help, value) in [
            (
                "s7supervisor_uptime_seconds",
                Kind::Gauge,
                "Since the start of the Supervisor.",
                uptime,
            ),
            (
                "s7supervisor_cpu_seconds_total",
                Kind::Counter,
                "CPU time of the Supervisor's own process.",
                cpu,
            ),
        ] {
            to.family(name, kind, help).value(&[], value);
        }
        let readers = self.readers as u64;
        for (name, help, value) in [
            (
                "s7supervisor_memory_bytes",
                "Resident memory of the Supervisor's own process.",
                own.memory_bytes,
            ),
            ("s7supervisor_threads", "Threads of the Supervisor.", own.threads.into()),
            (
                "s7supervisor_registry_generation",
                "Grows by one with each registry that came into force.",
                self.generation,
            ),
            ("s7supervisor_update_readers", "Who watches by /v1/updates.", readers),
        ] {
            to.family(name, Kind::Gauge, help).count(&[], value);
        }
        to.family(
            "s7supervisor_loop_delay_seconds",
            Kind::Histogram,
            "How late the engine's loop came to what was due, and to this question.",
        )
        .histogram(&[], &self.delays);
        let mut events = to.family(
            "s7supervisor_events_total",
            Kind::Counter,
            "Events by kind, since the start of the Supervisor.",
        );
        for (kind, count) in &self.events {
            events.count(&[("kind", kind)], *count);
        }
    }

    fn states(&self, to: &mut Exposition, now: Moment) {
        let mut family = to.family(
            "s7supervisor_component_state",
            Kind::Gauge,
            "1 for the state that the component is in, 0 for the others.",
        );
        self.each(|id, one| {
            for state in ComponentState::ALL {
                let labels = [("component", id), ("state", state.as_str())];
                family.count(&labels, u64::from(one.view.state == state));
            }
        });
        let mut family = to.family(
            "s7supervisor_component_health",
            Kind::Gauge,
            "1 for the health of the component, 0 for the others; \"none\" without a check.",
        );
        self.each(|id, one| {
            for health in [Health::None, Health::Unknown, Health::Ok, Health::Failing] {
                let labels = [("component", id), ("health", health.as_str())];
                family.count(&labels, u64::from(one.view.health == health));
            }
        });
        let mut family = to.family(
            "s7supervisor_component_up",
            Kind::Gauge,
            "1 for a component that is running and whose health does not fail.",
        );
        self.each(|id, one| {
            let well = one.view.health != Health::Failing;
            let up = well && one.view.state == ComponentState::Running;
            family.count(&[("component", id)], u64::from(up));
        });
        let mut family = to.family(
            "s7supervisor_component_uptime_seconds",
            Kind::Gauge,
            "Since the start of the component's process; 0 where none lives.",
        );
        self.each(|id, one| {
            let uptime = one.view.started.map(|started| now.since(started).as_secs_f64());
            family.value(&[("component", id)], uptime.unwrap_or_default());
        });
    }

    fn counters(&self, to: &mut Exposition) {
        let mut family = to.family(
            "s7supervisor_component_starts_total",
            Kind::Counter,
            "Starts of the component, asked for or not; from 0 at the Supervisor's start.",
        );
        self.each(|id, one| family.count(&[("component", id)], one.tally.starts));
        let mut family = to.family(
            "s7supervisor_component_restarts_total",
            Kind::Counter,
            "Starts that nobody asked for; from 0 at the Supervisor's start.",
        );
        self.each(|id, one| family.count(&[("component", id)], one.tally.restarts));
        let mut family = to.family(
            "s7supervisor_component_exits_total",
            Kind::Counter,
            "Ends of the component by cause; from 0 at the Supervisor's start.",
        );
        self.each(|id, one| {
            let exits = one.tally.exits.as_deref().copied().unwrap_or_default();
            for ((_, cause), count) in Cause::ALL.into_iter().zip(exits) {
                family.count(&[("component", id), ("cause", cause)], count);
            }
        });
    }

    fn usage(&self, to: &mut Exposition, sample: &Sample, open_files: &HashMap<RunId, u32>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<Measured> = self
            .components
            .iter()
            .map(|one| measured(one, sample, open_files, &mut told))
            .collect();
        told.retain(|id, _| self.components.iter().any(|one| one.view.id == *id));
        drop(told);
        let all = || self.components.iter().map(|one| one.view.id.as_str()).zip(&known);
        let mut family = to.family(
            "s7supervisor_component_cpu_seconds_total",
            Kind::Counter,
            "CPU time of the component's process trees, ended runs included; from 0 at the \
             Supervisor's start.",
        );
        for (id, one) in all() {
            family.value(&[("component", id)], one.cpu_time.as_secs_f64());
        }
        let gauges: [Gauge; 4] = [
            (
                "s7supervisor_component_memory_bytes",
                "Resident memory of the component's process tree.",
                |one| Some(one.memory),
            ),
            ("s7supervisor_component_processes", "Processes of the component's tree.", |one| {
                Some(one.processes.into())
            }),
            ("s7supervisor_component_threads", "Threads of the component's process tree.", |one| {
                Some(one.threads.into())
            }),
            (
                "s7supervisor_component_open_fds",
                "Open descriptors of the component's process tree, as far as the Supervisor may look.",
                |one| one.open_files.map(u64::from),
            ),
        ];
        for (name, help, gauge) in gauges {
            let mut family = to.family(name, Kind::Gauge, help);
            for (id, one) in all() {
                if let Some(value) = gauge(one) {
                    family.count(&[("component", id)], value);
                }
            }
        }
    }

    fn logs(&self, to: &mut Exposition) {
        let counters: [Counter; 6] = [
            ("s7supervisor_log_bytes_total", "Bytes that the component wrote.", |logs| logs.bytes),
            ("s7supervisor_log_lines_total", "Lines that the component wrote.", |logs| logs.lines),
            (
                "s7supervisor_log_stored_bytes_total",
                "Bytes of the component that are in its files.",
                |logs| logs.stored_bytes,
            ),
            (
                "s7supervisor_log_lost_bytes_total",
                "Bytes of the component that could not be stored.",
                |logs| logs.lost_bytes,
            ),
            (
                "s7supervisor_log_lost_lines_total",
                "Lines of the component that could not be stored.",
                |logs| logs.lost_lines,
            ),
            (
                "s7supervisor_log_dropped_lines_total",
                "Lines that left the memory for newer ones; they are in the files.",
                |logs| logs.dropped_from_ring,
            ),
        ];
        for (name, help, counter) in counters {
            let mut family = to.family(name, Kind::Counter, help);
            self.each(|id, one| family.count(&[("component", id)], counter(&one.logs)));
            // No component's id is empty, so this is nobody's but the Supervisor's own.
            family.count(&[("component", "")], counter(&self.supervisor));
        }
    }

    fn latencies(&self, to: &mut Exposition) {
        let mut family = to.family(
            "s7supervisor_probe_duration_seconds",
            Kind::Histogram,
            "How long checks of the component took; from 0 at the Supervisor's start.",
        );
        for (id, kind, histogram) in &self.latencies {
            let kind = match kind {
                ProbeKind::Ready => "ready",
                ProbeKind::Health => "health",
            };
            family.histogram(&[("component", id.as_str()), ("probe", kind)], histogram);
        }
    }

    fn each(&self, mut write: impl FnMut(&str, &Component)) {
        for one in &self.components {
            write(one.view.id.as_str(), one);
        }
    }
}

fn measured(
    one: &Component,
    sample: &Sample,
    open_files: &HashMap<RunId, u32>,
    told: &mut HashMap<ComponentId, Duration>,
) -> Measured {
    let usage = one.view.run.and_then(|run| Some((run, sample.trees.get(&run)?)));
    let live = usage.map(|(_, usage)| usage.cpu_time).unwrap_or_default();
    let told = told.entry(one.view.id.clone()).or_default();
    *told = (*told).max(one.tally.ended_cpu + live);
    let mut measured = Measured { cpu_time: *told, ..Measured::default() };
    if let Some((run, usage)) = usage {
        measured.memory = usage.memory_bytes;
        measured.processes = usage.processes;
        measured.threads = usage.threads;
        measured.open_files = open_files.get(&run).copied();
    }
    measured
}
