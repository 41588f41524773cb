//! Starting: what a process gets, and what is told when it cannot start.

#![expect(unsafe_code, reason = "signal masks, which std has no words for")]

use std::{fs, path::Path, thread};

use super::{
    super::{clone::Way, family, spawn::spawn_by},
    *,
};
use crate::process::SpawnStage;

fn failure(launch: &Launch) -> (SpawnStage, String) {
    let error = spawn(launch, None).expect_err("it cannot start");
    (error.stage, error.to_string())
}

/// Written by a process of its own: had we the file open for writing, another test's child might
/// hold a copy at the moment of execution ("text file busy").
fn script(folder: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = folder.join(name).to_str().expect("ASCII").to_owned();
    let write = "printf '%s\\n' \"$1\" >\"$2\" && chmod \"$3\" \"$2\"";
    let write = launch("/bin/sh", &["-c", write, "sh", text, &path, &format!("{mode:o}")]);
    assert_eq!(output_of(write).expect("it starts").1, Exit::Code(0));
    path
}

#[test]
fn each_stage_that_fails_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path().to_str().expect("ASCII");

    assert_eq!(
        failure(&launch("/opt/none/m", &[])),
        (SpawnStage::Exec, "cannot execute /opt/none/m: No such file or directory".into())
    );
    assert_eq!(
        failure(&launch("no-such-program", &[])),
        (
            SpawnStage::Exec,
            "cannot execute no-such-program (looked up on PATH /usr/bin:/bin): \
             No such file or directory"
                .into()
        )
    );
    let plain = script(folder.path(), "plain", "#!/bin/sh", 0o644);
    assert_eq!(
        failure(&launch(&plain, &[])).1,
        format!("cannot execute {plain}: Permission denied")
    );
    assert_eq!(
        failure(&launch(here, &[])).1,
        format!("cannot execute {here}: Permission denied (it is a folder)")
    );
    let lost = script(folder.path(), "lost", "#!/no/interpreter", 0o755);
    assert_eq!(
        failure(&launch(&lost, &[])).1,
        format!(
            "cannot execute {lost}: No such file or directory \
             (the file is there, but not the interpreter or loader that it names)"
        )
    );
    let bare = script(folder.path(), "bare", "echo hello", 0o755);
    assert_eq!(
        failure(&launch(&bare, &[])).1,
        format!(
            "cannot execute {bare}: Exec format error \
             (a script needs #! and its interpreter in the first line)"
        )
    );
    let nowhere = Launch { working_directory: "/no/folder".into(), ..shell("exit 0") };
    assert_eq!(
        failure(&nowhere),
        (
            SpawnStage::WorkingDirectory,
            "cannot change to the folder /no/folder: No such file or directory".into()
        )
    );
    let mut limited = shell("exit 0");
    limited.limits.open_files = Some(u64::MAX - 1);
    assert_eq!(failure(&limited).0, SpawnStage::OpenFiles);
    let mut scored = shell("exit 0");
    scored.limits.oom_score_adjust = Some(5000);
    assert_eq!(
        failure(&scored),
        (SpawnStage::OomScore, "cannot set the OOM score adjustment 5000: Invalid argument".into())
    );
    let stranger = Launch { user: Some("no-such-user".into()), ..shell("exit 0") };
    assert_eq!(
        failure(&stranger),
        (SpawnStage::Account, "cannot look up user no-such-user: no such name or number".into())
    );
    let torn = launch("/bin/sh", &["a\0b"]);
    assert_eq!(failure(&torn).0, SpawnStage::Request);
}

#[test]
fn a_failed_start_leaves_no_process_behind() {
    // What never executed anything still has the name of the thread that started it.
    let starter = thread::Builder::new().name("lost-child".into()).spawn(|| {
        for way in [Way::Clone3, Way::Legacy] {
            spawn_by(&launch("/opt/none/m", &[]), None, way).expect_err("there is no program");
        }
        let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        family::own_children().iter().filter(|pid| name(pid).trim() == "lost-child").count()
    });
    assert_eq!(starter.expect("a thread").join().expect("no panic"), 0);
}

#[test]
fn a_component_sees_its_three_streams_and_nothing_else() {
    for way in [Way::Clone3, Way::Legacy] {
        // A descriptor that somebody forgot to mark: it must not reach the component.
        let leak = fs::File::open("/dev/null").expect("it is there");
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("ours");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let listing = Launch { stdout: writer.into(), ..launch("ls", &["-l", "/proc/self/fd"]) };
        let child = spawn_by(&listing, None, way).expect("it starts");
        drop(listing);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(end_of(&child), Exit::Code(0));
        // Three streams, and the folder that ls itself has open.
        let descriptors: Vec<_> =
            text.lines().filter(|line| line.contains(" -> ")).map(str::to_owned).collect();
        assert_eq!(descriptors.len(), 4, "{text}");
        assert!(descriptors[0].ends_with("0 -> /dev/null"), "{text}");
        assert!(descriptors[3].contains("3 -> /proc/"), "{text}");
    }
}

#[test]
fn signals_that_we_block_or_ignore_are_as_new_in_a_component() {
    // SAFETY: valid arguments; SIGUSR2 means nothing to the other tests, and the mask is this
    // thread's own.
    unsafe {
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
        let mut mask = std::mem::zeroed();
        libc::sigfillset(&raw mut mask);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
    }
    let ours = fs::read_to_string("/proc/thread-self/status").expect("readable");
    let ignored = ours.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    // Beside what the test itself was started with: a job in the background ignores SIGINT.
    let mask = u64::from_str_radix(ignored.trim(), 16).expect("a number");
    assert_eq!(mask & 0x1800, 0x1800, "SIGPIPE and SIGUSR2: {ignored}");
    for way in [Way::Clone3, Way::Legacy] {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let look = launch("cat", &["/proc/self/status"]);
        let look = Launch { stdout: writer.into(), ..look };
        let child = spawn_by(&look, None, way).expect("it starts");
        drop(look);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert_eq!(end_of(&child), Exit::Code(0));
        for field in ["SigBlk", "SigIgn", "SigCgt"] {
            assert!(text.contains(&format!("{field}:\t0000000000000000")), "{text}");
        }
    }
}

#[test]
fn environment_folder_umask_and_arguments_arrive_as_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = launch("sh", &["-c", "echo \"$GREETING|$(pwd)|$(umask)|$1|$0\"", "zero", "a b"]);
    told.environment.push(("GREETING".into(), "hello, wörld".into()));
    told.working_directory = folder.path().to_owned();
    told.umask = Some(0o027);
    let (text, exit) = output_of(told).expect("it starts");
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(text, format!("hello, wörld|{}|0027|a b|zero\n", folder.path().display()));
}

#[test]
fn a_relative_program_is_relative_to_the_working_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    script(folder.path(), "here", "#!/bin/sh\necho found", 0o755);
    let mut relative = launch("./here", &[]);
    relative.working_directory = folder.path().to_owned();
    assert_eq!(output_of(relative).expect("it starts").0, "found\n");

    // So are the entries of PATH; and one that may not be executed does not hide a later one.
    fs::create_dir(folder.path().join("bin")).expect("made");
    fs::write(folder.path().join("bin/sh"), "").expect("written");
    let mut bare = launch("sh", &["-c", "echo found, too"]);
    bare.working_directory = folder.path().to_owned();
    bare.environment = vec![("PATH".into(), "bin:/bin".into())];
    assert_eq!(output_of(bare).expect("it starts").0, "found, too\n");

    let mut denied = launch("sh", &[]);
    denied.working_directory = folder.path().to_owned();
    denied.environment = vec![("PATH".into(), "bin:/no/folder".into())];
    assert_eq!(
        failure(&denied).1,
        "cannot execute sh (looked up on PATH bin:/no/folder): Permission denied"
    );
}

#[test]
fn limits_reach_the_component() {
    let mut limited = shell("ulimit -n; ulimit -c; nice; cat /proc/self/oom_score_adj");
    limited.limits.open_files = Some(123);
    limited.limits.core = Some(0);
    limited.limits.nice = Some(7);
    limited.limits.oom_score_adjust = Some(250);
    let (text, _) = output_of(limited).expect("it starts");
    assert_eq!(text, "123\n0\n7\n250\n");
    let ours = fs::read_to_string("/proc/self/oom_score_adj").expect("readable");
    assert_ne!(ours.trim(), "250", "the component's adjustment is not ours");
}

#[test]
fn a_component_leads_a_session_of_its_own() {
    let (text, _) = output_of(shell("cut -d' ' -f1,6 /proc/$$/stat")).expect("it starts");
    let (pid, session) = text.trim().split_once(' ').expect("two numbers");
    assert_eq!(pid, session);
}

#[test]
fn root_can_run_a_component_as_another_and_others_are_told_why_not() {
    let identity = "id -u; id -g; id -G; awk '/^(Uid|Gid):/' /proc/self/status | tr -s '\\t ' ' '";
    let user = Launch { user: Some("nobody".into()), ..shell(identity) };
    if rustix::process::geteuid().is_root() {
        let (text, _) = output_of(user).expect("root may");
        let gid = "65534";
        let all = format!(
            "65534\n{gid}\n{gid}\nUid: 65534 65534 65534 65534\nGid: {gid} {gid} {gid} {gid}\n"
        );
        assert_eq!(text, all);
        let group = Launch { group: Some("4711".into()), ..shell("id -u; id -g; id -G") };
        assert_eq!(output_of(group).expect("root may").0, "0\n4711\n4711\n");
        assert!(super::super::own::is_dumpable(), "it is again, after the switch");
    }
    // A thread may give its own rights up without the rest of the process.
    let refused = thread::spawn(|| {
        if rustix::process::geteuid().is_root() {
            let other = rustix::process::Uid::from_raw(12345);
            rustix::thread::set_thread_res_uid(other, other, other).expect("root may");
        }
        let user = Launch { user: Some("nobody".into()), ..shell("exit 0") };
        let group = Launch { group: Some("4711".into()), ..shell("exit 0") };
        (failure(&user), failure(&group))
    });
    let (user, group) = refused.join().expect("no panic");
    let hint = "Operation not permitted (the Supervisor must run as root for that)";
    assert_eq!(user, (SpawnStage::User, format!("cannot switch to user nobody: {hint}")));
    assert_eq!(group, (SpawnStage::Group, format!("cannot switch to group 4711: {hint}")));
}

#[test]
fn five_hundred_start_at_once() {
    let starters: Vec<_> = (0..10)
        .map(|starter| {
            thread::spawn(move || {
                let children: Vec<_> = (0..50)
                    .map(|number| {
                        let code = (starter * 50 + number) % 256;
                        let child = spawn(&shell(&format!("exit {code}")), None);
                        (code, child.expect("it starts"))
                    })
                    .collect();
                for (code, child) in children {
                    assert_eq!(end_of(&child), Exit::Code(code));
                }
            })
        })
        .collect();
    for starter in starters {
        starter.join().expect("each got its own exit");
    }
}
