//! Soak: a Supervisor under churn for an hour. What it costs afterwards is what it cost before.
//!
//! Fifty components (writers whose files rotate, crashers, slow stoppers, checks, grandchildren),
//! random commands and kills, registries that change, consoles and other readers that come, stall
//! and are killed. Two rests, in which the same components run, are compared: the one after the
//! warm-up and the one at the end.
//!
//! ```sh
//! cargo build --release
//! S7_SOAK_PROGRAM=$PWD/target/release/s7supervisor S7_SOAK_SECONDS=3600 \
//!     cargo test --test soak -- --ignored --nocapture
//! ```
//!
//! With `S7_SOAK_KILL_EVERY=30` the engine is killed about every 30 s, too.

#[expect(dead_code, reason = "the harness is shared: the acceptance tests use all of it")]
#[path = "../support/mod.rs"]
mod support;

mod churn;
mod fleet;
mod measure;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use churn::Churn;
use measure::{Point, Sample, cgroup_folder, difference, slope};
use support::{Place, Supervisor, now, report, since, until, within};

/// The warm-up's share of the whole time: caches, arenas and thread pools reach their size.
const WARM_UP: f64 = 0.2;
/// Between two samples.
const EVERY: Duration = Duration::from_secs(5);
/// Between two lines of progress.
const TOLD_EVERY: Duration = Duration::from_mins(2);
/// What may be resident more than before: an allocator keeps some of what it once had.
const TOLERANCE_BYTES: u64 = 4 << 20;
const TOLERANCE_PERCENT: u64 = 15;
/// It allocates nothing once it has started; pages that it had not touched before may come in.
const GUARDIAN_BYTES: u64 = 512 << 10;
/// The most threads that wait for files and samples at a time.
const POOL: usize = 8;

/// One of the lists of a sample.
type List = fn(&Sample) -> &[String];

fn seconds() -> u64 {
    std::env::var("S7_SOAK_SECONDS").ok().map_or(3_600, |text| {
        text.parse().unwrap_or_else(|error| panic!("S7_SOAK_SECONDS={text}: {error}"))
    })
}

/// How often the engine is killed, if at all.
fn kill_every() -> Option<Duration> {
    let text = std::env::var("S7_SOAK_KILL_EVERY").ok()?;
    let seconds: u64 =
        text.parse().unwrap_or_else(|error| panic!("S7_SOAK_KILL_EVERY={text}: {error}"));
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// The program under test: another build of it is named in the environment.
fn program() -> PathBuf {
    let usual = || env!("CARGO_BIN_EXE_s7supervisor").into();
    std::env::var_os("S7_SOAK_PROGRAM").map_or_else(usual, PathBuf::from)
}

fn start(place: &Place) -> Supervisor<'_> {
    let mut command = Command::new(program());
    place.prepare(&mut command);
    command.arg("-i").arg(place.path("")).arg("run").stdin(Stdio::null());
    let supervisor = Supervisor::new(place, place.spawn(command));
    place.await_answer(&supervisor);
    supervisor
}

#[test]
#[ignore = "takes S7_SOAK_SECONDS, an hour by default; the command stands in docs/testing.md"]
fn what_it_costs_after_an_hour_of_churn_is_what_it_cost_before() {
    let whole = Duration::from_secs(seconds());
    let warm_up = whole.mul_f64(WARM_UP);
    let seed = std::env::var("S7_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    report(&format!(
        "soak: {} s (warm-up {} s), seed {seed}, {}",
        whole.as_secs(),
        warm_up.as_secs(),
        program().display()
    ));
    let place = Place::new(&fleet::registry(0));
    let supervisor = start(&place);
    place.running("plain0");
    let cgroups = cgroup_folder(&place);
    let sample = || Sample::take(&place, &supervisor, cgroups.as_deref());

    let (_, did) = churned(&place, &sample, seed, warm_up);
    report(&format!("warm-up: {did}"));
    let before = at_rest(&place, &sample);

    let rest = whole.saturating_sub(warm_up);
    let (points, did) = churned(&place, &sample, seed ^ 1, rest);
    report(&format!("churn: {did}"));
    let after = at_rest(&place, &sample);

    report(&table(&before, &after, &points));
    assert_eq!(after.zombies, 0, "ended children that nobody reaped");
    let lists: [(&str, List); 6] = [
        ("open files", |sample| &sample.descriptors),
        ("open files of the guardian", |sample| &sample.guardian.1),
        ("threads", |sample| &sample.threads),
        ("processes of the components", |sample| &sample.commands),
        ("files of the runtime folder", |sample| &sample.runtime_files),
        ("cgroups", |sample| &sample.cgroups),
    ];
    let changed: Vec<String> = lists
        .iter()
        .filter_map(|(what, of)| Some(format!("{what}: {}", difference(of(&before), of(&after))?)))
        .collect();
    assert!(changed.is_empty(), "not as before: {}", changed.join("\n"));
    let grown = after.guardian.0.saturating_sub(before.guardian.0);
    assert!(grown <= GUARDIAN_BYTES, "the guardian grew by {} KiB", grown >> 10);
    assert!(after.helpers <= POOL, "{} threads of the pool", after.helpers);
    let allowed = TOLERANCE_BYTES.max(before.resident * TOLERANCE_PERCENT / 100);
    assert!(
        after.resident <= before.resident + allowed,
        "resident memory grew from {} to {} KiB",
        before.resident >> 10,
        after.resident >> 10
    );
    let errors: Vec<String> = place
        .log_text("Supervisor")
        .lines()
        .filter(|line| line.contains(" ERROR "))
        .take(10)
        .map(str::to_owned)
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");

    let temp = place.path("temp");
    supervisor.stop();
    assert!(cgroups.is_none_or(|folder| !folder.exists()), "its cgroups go with it");
    assert!(!temp.join("pipes").exists(), "its pipes go with it");
}

/// Churn for this long, with samples.
fn churned(
    place: &Place,
    sample: &dyn Fn() -> Option<Sample>,
    seed: u64,
    time: Duration,
) -> (Vec<Point>, churn::Did) {
    let mut points = Vec::new();
    let begin = now();
    let churn = Churn::start(place, &program(), seed, kill_every());
    let mut next = EVERY;
    let mut told = Duration::ZERO;
    while since(begin) < time {
        within(EVERY * 2, "the next sample is due", || {
            (since(begin) >= next.min(time)).then_some(())
        });
        next += EVERY;
        let Some(sample) = sample() else { continue };
        let point = Point { at: since(begin), sample };
        if point.at >= told {
            told += TOLD_EVERY;
            report(&point.to_string());
        }
        points.push(point);
    }
    (points, churn.end())
}

/// Brings the same components into the same states and waits until nothing moves any more.
fn at_rest(place: &Place, sample: &dyn Fn() -> Option<Sample>) -> Sample {
    const PATIENCE: Duration = Duration::from_mins(8);
    const REST: Duration = Duration::from_secs(130);
    within(PATIENCE, "the Supervisor answers", || place.try_get("/v1/status"));
    place.rewrite_registry(&fleet::registry(0));
    let reloaded = place.post("/v1/reload");
    assert!(matches!(reloaded.status, 200 | 202), "{reloaded:?}");
    for id in fleet::ids() {
        let released = place.post(&format!("/v1/components/{id}/release"));
        assert_eq!(released.status, 200, "{released:?}");
    }
    // All of them have had a run since they were last in the registry.
    let ask = |verb: &str, id: &str| {
        let answer = place.post(&format!("/v1/components/{id}/{verb}"));
        assert!(matches!(answer.status, 200 | 202), "{verb} {id}: {answer:?}");
    };
    for id in fleet::ids() {
        ask("start", &id);
    }
    within(PATIENCE, "every component runs", || {
        let status = place.status();
        let all = status["components"].as_array().expect("a list");
        let runs = |component: &serde_json::Value| {
            component["state"] == "running" || component["restarts"] != 0
        };
        all.iter().all(runs).then_some(())
    });
    for id in fleet::ids().filter(|id| !fleet::is_steady(id)) {
        ask("stop", &id);
    }
    within(PATIENCE, "every component is at rest", || {
        let status = place.status();
        let all = status["components"].as_array().expect("a list");
        let expected = |id: &str| if fleet::is_steady(id) { "running" } else { "stopped" };
        let is_at_rest = |component: &serde_json::Value| {
            component["state"] == expected(component["id"].as_str().expect("an id"))
        };
        (all.len() == fleet::ids().count() && all.iter().all(is_at_rest)).then_some(())
    });
    // Which files are open depends on who wrote since: from here on none.
    let reopened = place.post("/v1/reopen");
    assert_eq!(reopened.status, 204, "{reopened:?}");
    let mut last = sample().expect("the engine lives");
    let mut same = 0;
    // Threads that wait for work end after some seconds; connections close as they are noticed. Files
    // that samples are read from are closed, and memory is given back, at the first whole minute in
    // which nobody asked anything; the minute's own sample opens some for a moment.
    let asked = now();
    within(PATIENCE, "nothing moves any more", || {
        let begin = now();
        until("a second has passed", || (since(begin) > Duration::from_secs(1)).then_some(()));
        let next = sample().expect("the engine lives");
        same = if next.is_like(&last) { same + 1 } else { 0 };
        last = next;
        (same >= 8 && since(asked) >= REST).then_some(())
    });
    last
}

fn table(before: &Sample, after: &Sample, points: &[Point]) -> String {
    use std::fmt::Write as _;
    let kilobytes = |bytes: u64| format!("{} KiB", bytes >> 10);
    let worst = |of: fn(&Sample) -> u64| points.iter().map(|point| of(&point.sample)).max();
    let mut text = format!("\n{:<28}{:>14}{:>14}{:>14}\n", "", "before", "worst", "after");
    let mut row = |name: &str, of: fn(&Sample) -> u64, show: &dyn Fn(u64) -> String| {
        let worst = worst(of).map_or_else(String::new, show);
        let _ =
            writeln!(text, "{name:<28}{:>14}{worst:>14}{:>14}", show(of(before)), show(of(after)));
    };
    row("resident memory (RSS)", |sample| sample.resident, &kilobytes);
    row("proportional (PSS)", |sample| sample.proportional, &kilobytes);
    row("anonymous (heap, stacks)", |sample| sample.anonymous, &kilobytes);
    row("open files", |sample| sample.descriptors.len() as u64, &|count| count.to_string());
    row("threads", |sample| sample.threads.len() as u64, &|count| count.to_string());
    row("threads of the pool", |sample| sample.helpers as u64, &|count| count.to_string());
    row("processes of components", |sample| sample.commands.len() as u64, &|count| {
        count.to_string()
    });
    row("zombies", |sample| sample.zombies as u64, &|count| count.to_string());
    row("files of the runtime folder", |sample| sample.runtime_files.len() as u64, &|count| {
        count.to_string()
    });
    row("cgroups", |sample| sample.cgroups.len() as u64, &|count| count.to_string());
    row("guardian: resident memory", |sample| sample.guardian.0, &kilobytes);
    row("guardian: open files", |sample| sample.guardian.1.len() as u64, &|count| {
        count.to_string()
    });
    row("files of the log folder", |sample| sample.log_files as u64, &|count| count.to_string());
    let per_hour = slope(points, |sample| sample.anonymous) * 3_600.0 / 1024.0;
    let second_half = points.get(points.len() / 2..).unwrap_or_default();
    let later = slope(second_half, |sample| sample.anonymous) * 3_600.0 / 1024.0;
    let _ = writeln!(
        text,
        "trend of anonymous memory over the churn: {per_hour:+.0} KiB an hour; over its second half \
         {later:+.0}"
    );
    text
}
