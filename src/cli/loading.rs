//! The registry for the command line: loaded with the settings of its arguments, refused with
//! every diagnostic and the exit status of a wrong registry.

use std::collections::BTreeMap;

use super::{
    Context,
    exit::{Exit, Failure},
    place::Place,
};
use crate::premises::{self, Finding};
use crate::registry::{self, Diagnostics, LoadError, Registry, Sources};

/// A registry that can be run, and what is probably not as meant in it.
#[derive(Debug)]
pub struct Loaded {
    pub registry: Registry,
    pub warnings: Diagnostics,
}

impl Loaded {
    pub fn tell_warnings(&self, context: &Context) {
        if !self.warnings.is_empty() {
            let (width, _) = context.ui.terminal_size();
            let text = self.warnings.render(context.ui.err.colour, width.min(120));
            context.ui.note(text.trim_end());
        }
    }
}

/// The sources of settings: `--set`, and the environment as far as it is text.
pub fn sources(place: &Place) -> Sources {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let environment: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
    Sources { overrides: place.settings.clone(), environment }
}

/// As [`load`], for whoever is about to run it.
pub fn load_to_run(place: &Place) -> Result<Loaded, Failure> {
    Ok(load_safely(place, false, 100)?.0)
}

/// As [`load_with`]; refused where others could decide what runs, with what else is open to them.
pub fn load_safely(
    place: &Place,
    colour: bool,
    width: usize,
) -> Result<(Loaded, Vec<Finding>), Failure> {
    let (loaded, findings) =
        premises::load(&place.registry, &place.install_folder, &sources(place))
            .map_err(|error| refusal(&error, colour, width))?;
    Ok((Loaded { registry: loaded.registry, warnings: loaded.warnings }, findings))
}

pub fn load(place: &Place) -> Result<Loaded, Failure> {
    load_with(place, false, 100)
}

/// As [`load`], with diagnostics in colour and of a width.
pub fn load_with(place: &Place, colour: bool, width: usize) -> Result<Loaded, Failure> {
    let loaded = registry::load(&place.registry, &place.install_folder, &sources(place))
        .map_err(|error| refusal(&error, colour, width))?;
    Ok(Loaded { registry: loaded.registry, warnings: loaded.warnings })
}

pub fn refusal(error: &LoadError, colour: bool, width: usize) -> Failure {
    match error {
        LoadError::Unreadable { source, .. } => {
            let permission = source.kind() == std::io::ErrorKind::PermissionDenied;
            let exit = if permission { Exit::NotPermitted } else { Exit::Registry };
            Failure::new(exit, format!("{error}; name it with --registry or --install-folder"))
        }
        LoadError::TooLarge { .. } | LoadError::Untrusted { .. } => {
            Failure::new(Exit::Registry, error.to_string())
        }
        LoadError::Invalid(diagnostics) => wrong(diagnostics, colour, width),
    }
}

/// A registry that is refused for these reasons.
pub fn wrong(diagnostics: &Diagnostics, colour: bool, width: usize) -> Failure {
    let text = diagnostics.render(colour, width);
    Failure::new(Exit::Registry, format!("the registry is wrong\n{}", text.trim_end()))
}
