//! What every check starts from: the registry, the runtime folder, and who runs there.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{
    PATIENCE, Subject,
    engine::{self, Engine},
    sheet, trees,
};
use crate::{
    model::Shared,
    registry::{self, Component, Diagnostics, LoadError, Registry},
    wire::{ComponentStatus, Status},
};

pub(super) struct Scene {
    pub subject: Subject,
    pub loaded: Loaded,
    /// The runtime folder, as far as the registry can be read.
    pub temp: PathBuf,
    pub engine: Engine,
    pub marked: trees::Cache,
}

pub(super) enum Loaded {
    Right {
        registry: Box<Registry>,
        warnings: Diagnostics,
    },
    Wrong(LoadError),
    /// Nobody answered.
    Silent,
}

impl Scene {
    pub fn look(subject: Subject) -> Self {
        let asked = subject.clone();
        let loaded = sheet::within(PATIENCE, move || {
            registry::load(&asked.registry_file, &asked.install_folder, &asked.sources)
        });
        let loaded = match loaded {
            Some(Ok(loaded)) => {
                Loaded::Right { registry: Box::new(loaded.registry), warnings: loaded.warnings }
            }
            Some(Err(error)) => Loaded::Wrong(error),
            None => Loaded::Silent,
        };
        let temp = match &loaded {
            Loaded::Right { registry, .. } => registry.config.temp.clone(),
            Loaded::Wrong(_) | Loaded::Silent => subject.install_folder.join("temp"),
        };
        let folder = temp.clone();
        let engine = sheet::within(PATIENCE, move || engine::ask(&folder));
        let engine = engine.unwrap_or_else(|| Engine::Silent {
            pid: None,
            why: format!("{} does not answer", temp.display()),
        });
        Self { subject, loaded, temp, engine, marked: trees::Cache::new() }
    }

    pub fn registry_is_wrong(&self) -> bool {
        let forbidden = |error: &LoadError| {
            matches!(error, LoadError::Unreadable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied)
        };
        matches!(&self.loaded, Loaded::Wrong(error) if !forbidden(error))
    }

    pub fn registry(&self) -> Option<&Registry> {
        match &self.loaded {
            Loaded::Right { registry, .. } => Some(registry),
            Loaded::Wrong(_) | Loaded::Silent => None,
        }
    }

    pub fn components(&self) -> &[Shared<Component>] {
        self.registry().map_or(&[], |registry| &registry.components)
    }

    /// What the Supervisor answered.
    pub fn status(&self) -> Option<&Status> {
        match &self.engine {
            Engine::Answers(answers) => Some(&answers.status),
            Engine::Silent { .. } | Engine::Forbidden { .. } | Engine::Absent => None,
        }
    }

    pub fn component_status(&self, id: &str) -> Option<&ComponentStatus> {
        self.status()?.components.iter().find(|component| component.id == id)
    }

    /// The Supervisor's pid, whether it answers or not.
    pub fn pid(&self) -> Option<u32> {
        match &self.engine {
            Engine::Answers(answers) => Some(answers.status.supervisor.pid),
            Engine::Silent { pid, .. } | Engine::Forbidden { pid, .. } => *pid,
            Engine::Absent => None,
        }
    }

    /// The user of the Supervisor: of the one that runs, else ours.
    pub fn user(&self) -> u32 {
        let of = |pid| super::proc::owner(pid);
        self.pid().and_then(of).unwrap_or_else(|| rustix::process::geteuid().as_raw())
    }

    /// A command of this installation, to be pasted into a shell.
    pub fn command(&self, words: &str) -> String {
        format!("{} {words}", self.subject.command)
    }

    /// Folders that components and the Supervisor write their logs to, each once.
    pub fn log_folders(&self) -> Vec<&Path> {
        let Some(registry) = self.registry() else { return Vec::new() };
        let own = registry.config.log.parent();
        let all = registry.components.iter().map(|component| component.output.log.parent());
        let mut folders: Vec<&Path> = std::iter::once(own).chain(all).flatten().collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    /// The search path that a component's program is looked up on.
    pub fn search_path(component: &Component) -> OsString {
        let own = component.environment.get("PATH").map(OsString::from);
        let usual = || OsString::from("/usr/local/bin:/usr/bin:/bin");
        own.or_else(|| std::env::var_os("PATH")).unwrap_or_else(usual)
    }
}
