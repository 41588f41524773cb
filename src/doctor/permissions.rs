//! Who may do what: the runtime folder, the logs, the components' programs and folders.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Finding, Scene, Sheet, proc,
    rights::{Want, Who, interpreter},
};
use crate::{
    control,
    premises::{self, Trust, Weight},
    process,
    registry::{Component, NotifyTarget},
};

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    let us = Who::of_supervisor(scene);
    runtime_folder(scene, &us, sheet);
    tokens(scene, &us, sheet);
    log_folders(scene, &us, sheet);
    password_files(scene, &us, sheet);
    components(scene, sheet);
    others(scene, sheet);
}

/// What others could change of what is trusted, on the whole way to it.
fn others(scene: &Scene, sheet: &Sheet) {
    let Some(registry) = scene.registry() else { return };
    let trust = Trust::of(scene.user(), &scene.subject.sources.environment);
    let found = premises::examine(registry, &trust);
    if found.is_empty() {
        sheet.add(Finding::ok("others", "nobody else can change what is run"));
    }
    for one in found {
        let (seen, advice) = (one.seen(), one.remedy);
        let finding = match one.weight {
            Weight::Refusal => Finding::problem("others", seen)
                .why("they could decide what runs as root: the Supervisor does not start"),
            Weight::Warning => Finding::warning("others", seen)
                .why("they could change what runs as the Supervisor's user, or what it wrote"),
        };
        sheet.add(finding.advice(advice));
    }
}

impl Who {
    /// The user that the Supervisor runs as, or would if we started it.
    fn of_supervisor(scene: &Scene) -> Self {
        let user = scene.user();
        let name = process::user_name(user).unwrap_or_else(|| format!("uid {user}"));
        let groups = scene.pid().and_then(|pid| proc::status_line(pid, "Groups"));
        let groups = match groups {
            Some(line) => {
                line.split_ascii_whitespace().filter_map(|gid| gid.parse().ok()).collect()
            }
            None => process::identity(None, None).map(|(_, groups)| groups).unwrap_or_default(),
        };
        Self { user, groups, name }
    }
}

fn runtime_folder(scene: &Scene, us: &Who, sheet: &Sheet) {
    let path = &scene.temp;
    sheet.look_at(path);
    let shown = path.display();
    let Ok(metadata) = fs::metadata(path) else {
        sheet.add(to_be_made("runtime_folder", path, us));
        return;
    };
    let mode = metadata.mode() & 0o7777;
    let seen = format!("{shown}, mode {mode:04o}, of uid {}", metadata.uid());
    let finding = if !metadata.is_dir() {
        Finding::problem("runtime_folder", format!("{shown} is no folder"))
            .why("the Supervisor does not start")
            .advice("move it away, or name another one in <temp>")
    } else if mode & 0o1000 != 0 {
        Finding::problem("runtime_folder", format!("{seen}: shared with other users"))
            .why("anybody could put a socket there in place of ours: the Supervisor does not start")
            .advice("name a folder of its own in <temp>")
    } else if metadata.uid() != us.user && metadata.uid() != 0 {
        Finding::problem("runtime_folder", format!("{seen}, not of {}", us.name))
            .why("its owner could replace what is in it: the Supervisor does not start")
            .advice(format!("chown {} {shown}, or run the Supervisor as its owner", us.name))
    } else if mode & 0o022 != 0 {
        Finding::warning("runtime_folder", format!("{seen}: others may write to it"))
            .why("they could put a socket of their own there; the next start takes that right away")
            .advice(format!("chmod go-w {shown}"))
    } else if let Err(why) = us.may(Want::Write, path) {
        Finding::problem("runtime_folder", format!("{} may not write to {shown}: {why}", us.name))
            .why("the Supervisor does not start")
            .advice(format!("chown {} {shown}", us.name))
    } else {
        Finding::ok("runtime_folder", seen)
    };
    sheet.add(finding);
    socket(path, sheet);
}

fn socket(folder: &Path, sheet: &Sheet) {
    let path = folder.join(control::SOCKET_NAME);
    let Ok(metadata) = fs::symlink_metadata(&path) else { return };
    let mode = metadata.mode() & 0o777;
    if mode & 0o007 != 0 {
        sheet.add(
            Finding::problem("socket", format!("{} has mode {mode:04o}", path.display()))
                .why("everybody on this machine may stop and start components")
                .advice(format!("chmod o= {}", path.display())),
        );
    } else {
        sheet.add(Finding::ok("socket", format!("{}, mode {mode:04o}", path.display())));
    }
}

fn tokens(scene: &Scene, us: &Who, sheet: &Sheet) {
    for name in ["control.token", "control-read.token"] {
        let path = scene.temp.join(name);
        let Ok(metadata) = fs::metadata(&path) else { continue };
        let mode = metadata.mode() & 0o777;
        let (shown, owner) = (path.display(), metadata.uid());
        let opened = scene.registry().is_some_and(|registry| registry.config.tcp_port.is_some());
        let why = if opened {
            "whoever has it may use the TCP port; with these rights the next start refuses it"
        } else {
            "whoever has it may use the TCP port, once there is one"
        };
        if owner != us.user && owner != 0 {
            sheet.add(
                Finding::problem("tokens", format!("{shown} belongs to uid {owner}"))
                    .why(why)
                    .advice(format!("rm {shown}: the next start makes a new one")),
            );
        } else if mode & 0o037 != 0 {
            sheet.add(
                Finding::problem("tokens", format!("{shown} has mode {mode:04o}")).why(why).advice(
                    format!("rm {shown}: the next start makes a new one that nobody has seen"),
                ),
            );
        } else {
            sheet.add(Finding::ok("tokens", format!("{shown}, mode {mode:04o}")));
        }
    }
}

fn log_folders(scene: &Scene, us: &Who, sheet: &Sheet) {
    for folder in scene.log_folders() {
        sheet.look_at(folder);
        let shown = folder.display();
        let finding = if !folder.exists() {
            to_be_made("log_folder", folder, us)
        } else if let Err(why) = us.may(Want::Write, folder) {
            Finding::problem("log_folder", format!("{} may not write to {shown}: {why}", us.name))
                .why("output is not stored: it is kept in memory as far as that reaches, then lost")
                .advice(format!("chown {} {shown}", us.name))
        } else {
            Finding::ok("log_folder", format!("{shown} can be written to"))
        };
        sheet.add(finding);
    }
}

/// A folder that the Supervisor makes when it starts, if it may.
fn to_be_made(check: &'static str, path: &Path, us: &Who) -> Finding {
    let shown = path.display();
    let Some(above) = path.ancestors().skip(1).find(|above| above.exists()) else {
        return Finding::problem(check, format!("{shown} cannot be made"));
    };
    match us.may(Want::Write, above) {
        Ok(()) => Finding::ok(check, format!("{shown} is not there yet; the next start makes it")),
        Err(why) => {
            let above = above.display();
            let seen =
                format!("{shown} is not there, and {} may not write to {above}: {why}", us.name);
            Finding::problem(check, seen)
                .why("the Supervisor cannot make it when it starts")
                .advice(format!("install -d -o {} -m 0700 {shown}", us.name))
        }
    }
}

fn password_files(scene: &Scene, us: &Who, sheet: &Sheet) {
    let Some(registry) = scene.registry() else { return };
    let targets = registry.config.notify.iter().flat_map(|notify| &notify.targets);
    let files: BTreeSet<&PathBuf> = targets
        .filter_map(|target| match target {
            NotifyTarget::Mail(mail) => mail.password_file.as_ref(),
            NotifyTarget::Webhook { .. } => None,
        })
        .collect();
    for path in files {
        sheet.look_at(path);
        let shown = path.display();
        if let Err(why) = us.may(Want::Read, path) {
            sheet.add(
                Finding::problem("password_file", format!("{shown} cannot be read: {why}"))
                    .why("no mail is sent: nobody hears of failures")
                    .advice(scene.command("check --notify")),
            );
        } else if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
            sheet.add(
                Finding::warning("password_file", format!("everybody may read {shown}"))
                    .why("it holds a password")
                    .advice(format!("chmod o= {shown}")),
            );
        } else {
            sheet.add(Finding::ok("password_file", format!("{shown} can be read by us alone")));
        }
    }
}

fn components(scene: &Scene, sheet: &Sheet) {
    let all = scene.components();
    let mut right = 0;
    for component in all {
        let findings = component_findings(scene, component, sheet);
        right += usize::from(findings.is_empty());
        for finding in findings {
            sheet.add(finding.of(component.id.as_str()));
        }
    }
    if right > 0 {
        let seen = format!(
            "{right} of {} components: user, program and working folder can be used",
            all.len()
        );
        sheet.add(Finding::ok("components", seen));
    }
}

fn component_findings(scene: &Scene, component: &Component, sheet: &Sheet) -> Vec<Finding> {
    let (user, group) = (component.user.as_deref(), component.group.as_deref());
    let who = match process::identity(user, group) {
        Ok((user, groups)) => {
            // What is not said is as the Supervisor's own.
            let user = if component.user.is_some() { user } else { scene.user() };
            let name = process::user_name(user).unwrap_or_else(|| format!("uid {user}"));
            Who { user, groups, name }
        }
        Err(error) => {
            return vec![
                Finding::problem("user", error.to_string())
                    .why("it cannot be started")
                    .advice("make the account, or mend <user> and <group>"),
            ];
        }
    };
    let mut findings = Vec::new();
    if who.user != scene.user() && scene.user() != 0 {
        let seen = format!("it is to run as {}, but the Supervisor is not root", who.name);
        findings.push(
            Finding::problem("user", seen)
                .why("it cannot be started")
                .advice("run the Supervisor as root, or take <user> away"),
        );
    }
    let folder = &component.working_directory;
    sheet.look_at(folder);
    let passes = who.may(Want::Execute, folder);
    if !folder.is_dir() || passes.is_err() {
        let why = match passes {
            Err(why) => why,
            Ok(()) => "it is no folder".to_owned(),
        };
        findings.push(
            Finding::problem(
                "working_directory",
                format!("{} cannot be entered by {}: {why}", folder.display(), who.name),
            )
            .why("it cannot be started")
            .advice(format!("make it, or mend the rights: namei -l {}", folder.display())),
        );
    }
    findings.extend(program(component, &who, sheet));
    if let Some(file) = &component.environment_file {
        sheet.look_at(file);
        let us = Who::of_supervisor(scene);
        if let Err(why) = us.may(Want::Read, file) {
            findings.push(
                Finding::problem("environment_file", format!("{}: {why}", file.display()))
                    .why("it cannot be started: the file is read at each start")
                    .advice("make it, or mend its rights"),
            );
        }
    }
    findings
}

fn program(component: &Component, who: &Who, sheet: &Sheet) -> Option<Finding> {
    let executable = &component.executable;
    let bare = executable.components().count() == 1 && !executable.is_absolute();
    let found = if bare {
        let path = Scene::search_path(component);
        let mut folders = std::env::split_paths(&path);
        folders.find_map(|folder| {
            let file = component.working_directory.join(folder).join(executable);
            sheet.look_at(&file);
            (file.is_file() && who.may(Want::Execute, &file).is_ok()).then_some(file)
        })
    } else {
        Some(component.working_directory.join(executable))
    };
    let problem = |seen: String| Finding::problem("program", seen).why("it cannot be started");
    let Some(program) = found else {
        let path = Scene::search_path(component);
        let seen =
            format!("{} is not on its PATH: {}", executable.display(), path.to_string_lossy());
        return Some(problem(seen).advice("install it, or name it with its whole path"));
    };
    sheet.look_at(&program);
    let shown = program.display();
    if program.is_dir() {
        return Some(problem(format!("{shown} is a folder")).advice("mend <executable>"));
    }
    if let Err(why) = who.may(Want::Execute, &program) {
        let advice = if program.exists() {
            format!("mend the rights: namei -l {shown}")
        } else {
            "install it, or mend <executable>".to_owned()
        };
        let seen = format!("{shown} cannot be executed by {}: {why}", who.name);
        return Some(problem(seen).advice(advice));
    }
    let interpreter = interpreter(&program)?;
    let why = who.may(Want::Execute, &interpreter).err()?;
    let seen = format!("{shown} wants the interpreter {}: {why}", interpreter.display());
    Some(problem(seen).advice("install it, or mend the script's first line"))
}
