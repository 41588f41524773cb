//! `demo` on a machine with nothing installed, and without a terminal.

use std::fs;

use rustix::process::Signal;

use crate::support::{Place, Registry, Supervisor, place::text, until};

#[test]
fn demo_shows_its_stream_and_leaves_nothing_behind() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut place = Place::new(&Registry::of([]));
        let temporary = place.path("tmp");
        fs::create_dir(&temporary).expect("our folder");
        place.set("TMPDIR", text(&temporary));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_s7supervisor"));
        place.prepare(&mut command);
        command.arg("demo");
        let demo = Supervisor::new(&place, place.spawn(command));

        until("three components run", || {
            assert!(demo.exit().is_none(), "it goes on until a signal");
            let stream = place.read("run.out");
            (stream.matches("running").count() >= 3).then_some(())
        });
        let stream = place.read("run.out");
        assert!(!stream.contains('\u{1b}'), "no escape sequences without a terminal: {stream:?}");
        // The Supervisor, and three components of the same binary.
        until("all of them live", || (place.processes().len() >= 4).then_some(()));

        demo.signal(signal);
        let ended = demo.ended();
        assert_eq!(ended.code(), Some(0), "{ended}: {}", place.read("run.err"));
        place.assert_nothing_runs();
        let left: Vec<_> = fs::read_dir(&temporary).expect("our folder").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
