//! The components: some that rest when they are left alone, and some that never do.

use crate::support::{Registry, Server};

/// Kinds that keep on changing by themselves; they are stopped when the cost is looked at.
const RESTLESS: [(&str, usize); 3] = [("writer", 10), ("crasher", 10), ("slow", 5)];
/// Kinds that do nothing by themselves.
const STEADY: [(&str, usize); 4] = [("plain", 10), ("family", 8), ("checked", 5), ("quiet", 2)];

pub fn ids() -> impl Iterator<Item = String> {
    let kinds = RESTLESS.into_iter().chain(STEADY);
    kinds.flat_map(|(kind, count)| (0..count).map(move |number| format!("{kind}{number}")))
}

pub fn is_steady(id: &str) -> bool {
    STEADY.iter().any(|(kind, _)| id.starts_with(kind))
}

/// The registry of this variant; 0 is the one of a rest. Others lack some components, have some
/// more, and have others changed.
pub fn registry(variant: u64) -> Registry {
    let mut random = fastrand::Rng::with_seed(variant);
    let mut servers = Vec::new();
    for id in ids() {
        let (left_out, changed) = (random.u8(0..10) == 0, random.u8(0..10) < 2);
        if variant == 0 || !left_out {
            servers.push(server(&id, if changed { variant } else { 0 }));
        }
    }
    if variant != 0 {
        servers.extend(
            (0..random.usize(0..6)).map(|number| server(&format!("plain{}", 100 + number), 0)),
        );
    }
    Registry::of(servers).config("<startsPerMinute>100000</startsPerMinute>")
}

/// A shell that first, once, writes more than the Supervisor keeps in memory of a component:
/// otherwise that would fill up over hours, and look like a leak.
fn shell(id: &str, script: &str) -> Server {
    let fill = format!(
        "test -e {id}.filled || {{ : >{id}.filled; head -c 300000 /dev/zero | tr '\\0' x | \
         fold -w 100; }}; {script}"
    );
    Server::shell(id, &fill)
}

fn server(id: &str, variant: u64) -> Server {
    let server = match id.trim_end_matches(|c: char| c.is_ascii_digit()) {
        // Some 20 kB every second, in files of 256 kB.
        "writer" => Server::shell(
            id,
            "while :; do head -c 20000 /dev/zero | tr '\\0' x | fold -w 100; sleep 1; done",
        )
        .with("<output><maxSize>256K</maxSize><keepFiles>4</keepFiles><compress>true</compress></output>"),
        "crasher" => shell(id, "echo it begins; sleep $(( $$ % 5 + 2 )); echo it ends >&2; exit 3"),
        "slow" => shell(id, "trap '' TERM; while :; do sleep 1; done").stop_timeout(2.0),
        // A shell with children and grandchildren, one of them in a session of its own.
        "family" => shell(
            id,
            "sleep infinity & (sleep infinity & wait) & setsid sleep infinity & wait",
        ),
        "checked" => shell(id, "echo ready; exec sleep infinity").with(
            "<ready><log match=\"ready\"/></ready>\
             <health interval=\"2\"><exec><argument>/bin/true</argument></exec></health>",
        ),
        "quiet" => shell(id, "exec sleep infinity").with("<limits><memory>100M</memory></limits>"),
        _ => shell(id, "exec sleep infinity"),
    };
    // Of a changed one the environment differs.
    let server = server.with("<restart delay=\"0.2\" maxDelay=\"2\" maxRestarts=\"0\"/>");
    match variant {
        0 => server,
        _ => server.with(&format!(
            "<environment><variable name=\"VARIANT\">{variant}</variable></environment>"
        )),
    }
}
