//! A panic is in the trace log before anything else happens. In a process of its own, because
//! panic hooks and the receiver of events belong to the whole process.

use std::{fs, time::Duration};

use s7supervisor::{
    logs::{Logs, Options, trace::Trace},
    registry::TraceLevel,
};

#[test]
fn a_panic_is_written_before_its_thread_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = Trace::new(TraceLevel(1), false);
    trace.install(None).expect("the first one");
    let (logs, thread) = Logs::start(Options::new(Box::new(|_| Ok(())))).expect("a log thread");
    trace.attach(&logs, &folder.path().join("Supervisor.log"), 14);
    let worker = std::thread::Builder::new().name("worker".into());
    let worker = worker.spawn(|| panic!("the\nworst")).expect("a thread");
    assert!(worker.join().is_err());
    let files = fs::read_dir(folder.path()).expect("readable").map(|file| file.expect("a file"));
    let text: String =
        files.map(|file| fs::read_to_string(file.path()).expect("readable")).collect();
    assert!(text.contains(" ERROR panic: panicked: the\\nworst thread=worker place="), "{text}");
    assert_eq!(text.lines().count(), 1);
    assert!(thread.shutdown(Duration::from_secs(10)));
}
