//! The program itself, the install folder, the registry.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{Finding, Scene, Sheet, proc, scene::Loaded};
use crate::registry::{Diagnostic, Diagnostics, LoadError};

/// More of one registry nobody reads here: `check` shows them all, with their lines.
const MOST: usize = 20;

pub(super) fn check(scene: &Scene, sheet: &Sheet) {
    binary(sheet);
    running_binary(scene, sheet);
    registry(scene, sheet);
    install_folder(scene, sheet);
}

fn binary(sheet: &Sheet) {
    let path = std::env::current_exe();
    let path = path.map_or_else(|error| format!("({error})"), |path| path.display().to_string());
    sheet.add(Finding::ok("binary", format!("{path}, version {}", env!("CARGO_PKG_VERSION"))));
}

/// Whether the Supervisor runs what is on the disk.
fn running_binary(scene: &Scene, sheet: &Sheet) {
    let Some((pid, path)) = scene.pid().and_then(|pid| Some((pid, proc::executable(pid)?))) else {
        return;
    };
    let text = path.display().to_string();
    let path = Path::new(text.strip_suffix(" (deleted)").unwrap_or(&text));
    sheet.look_at(path);
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let running = identity(Path::new(&format!("/proc/{pid}/exe")));
    match identity(path) {
        None => sheet.add(
            Finding::warning(
                "running_binary",
                format!("{}, from which the Supervisor runs, is gone", path.display()),
            )
            .why("it could not be started again, nor restart in place")
            .advice("put the program back there"),
        ),
        there if there == running => sheet.add(Finding::ok(
            "running_binary",
            format!("the Supervisor (pid {pid}) runs what is on the disk"),
        )),
        Some(_) => sheet.add(
            Finding::note(
                "running_binary",
                format!("{} was replaced since the Supervisor (pid {pid}) started", path.display()),
            )
            .why("an upgrade is pending: what runs is the former program")
            .advice(scene.command("upgrade")),
        ),
    }
}

fn install_folder(scene: &Scene, sheet: &Sheet) {
    let folder = &scene.subject.install_folder;
    sheet.look_at(folder);
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {
            sheet.add(Finding::ok("install_folder", folder.display().to_string()));
        }
        Ok(_) => sheet.add(
            Finding::problem("install_folder", format!("{} is no folder", folder.display()))
                .advice("name the right one with --install-folder"),
        ),
        Err(error) => sheet.add(
            Finding::problem("install_folder", format!("{}: {error}", folder.display()))
                .why("relative paths of the registry are relative to it")
                .advice("name the right one with --install-folder"),
        ),
    }
}

fn registry(scene: &Scene, sheet: &Sheet) {
    let file = scene.subject.registry_file.display();
    match &scene.loaded {
        Loaded::Right { registry, warnings } => {
            let count = registry.components.len();
            let noun = if count == 1 { "component" } else { "components" };
            sheet.add(Finding::ok("registry", format!("{file}, {count} {noun}")));
            diagnostics(scene, sheet, warnings);
        }
        Loaded::Wrong(LoadError::Invalid(problems)) => diagnostics(scene, sheet, problems),
        Loaded::Wrong(error) => sheet.add(
            Finding::problem("registry", error.to_string())
                .why("nothing can be started, and most checks need it")
                .advice("name it with --registry or --install-folder"),
        ),
        Loaded::Silent => sheet.add(
            Finding::problem("registry", format!("no answer from {file}"))
                .why("nothing can be started, and most checks need it")
                .advice("mend or unmount the file system that it is on"),
        ),
    }
}

fn diagnostics(scene: &Scene, sheet: &Sheet, list: &Diagnostics) {
    // What has to be mended first stands first.
    let ordered = list.errors().chain(list.warnings());
    for diagnostic in ordered.take(MOST) {
        sheet.add(finding_of(diagnostic));
    }
    if list.len() > MOST {
        let seen = format!("and {} more", list.len() - MOST);
        let finding = if list.has_errors() {
            Finding::problem("registry", seen)
        } else {
            Finding::warning("registry", seen)
        };
        sheet.add(finding.advice(scene.command("check")));
    }
}

fn finding_of(diagnostic: &Diagnostic) -> Finding {
    let place = match diagnostic.place() {
        Some((file, line, column)) => format!("{file}:{line}:{column}: "),
        None => String::new(),
    };
    let seen = format!("{place}{}", diagnostic.message());
    let finding = match diagnostic.severity() {
        crate::registry::Severity::Error => Finding::problem("registry", seen)
            .why("nothing is started or reloaded with a wrong registry"),
        crate::registry::Severity::Warning => {
            Finding::warning("registry", seen).why("it is probably not as meant")
        }
    };
    match diagnostic.help() {
        Some(help) => finding.advice(help),
        None => finding,
    }
}
