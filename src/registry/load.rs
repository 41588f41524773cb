//! The way in: a file, or its bytes, to a [`Registry`].

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    Diagnostics, Registry, assemble, config,
    decode::Decoder,
    diagnostics::{Place, Problem, Problems, Text as Of},
    profiles::{self, Profiles},
    settings::Settings,
    source::Span,
    tree, validate, vocabulary,
};

/// Largest registry in bytes.
pub const MAX_SIZE: u64 = 16 << 20;

/// Where settings come from, beside the registry itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// `--set NAME=VALUE`, in order; of two with the same name the later counts.
    pub overrides: Vec<(String, String)>,
    /// The environment: `SV__name` gives `SV::name`, and `${NAME}` any of it.
    pub environment: BTreeMap<String, String>,
}

/// A registry that can be run.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub registry: Registry,
    /// What is probably not as meant. Never errors.
    pub warnings: Diagnostics,
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the registry {}: {source}", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "cannot use the registry {}: it is larger than {} MiB",
        file.display(),
        MAX_SIZE >> 20
    )]
    TooLarge { file: PathBuf },
    /// Others may write to it, or to what it is run with; found by who looks at permissions.
    #[error("cannot trust the registry {}: {findings}", file.display())]
    Untrusted { file: PathBuf, findings: String },
    /// All problems, and the warnings too.
    #[error("cannot use the registry:\n{0}")]
    Invalid(Diagnostics),
}

/// Reads and checks a registry file.
///
/// `install_folder` is what relative paths are relative to; it should be absolute itself.
pub fn load(file: &Path, install_folder: &Path, sources: &Sources) -> Result<Loaded, LoadError> {
    let bytes = read(file)?;
    parse(&bytes, file, install_folder, sources).map_err(LoadError::Invalid)
}

fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { file: file.to_owned(), source };
    let opened = File::open(file).map_err(unreadable)?;
    // Not by the file's length: what is no regular file has none.
    let mut bytes = Vec::new();
    opened.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(LoadError::TooLarge { file: file.to_owned() });
    }
    Ok(bytes)
}

/// Checks the bytes of a registry. `file` is for messages and for [`Registry::file`].
///
/// On failure the list holds every error and every warning.
pub fn parse(
    bytes: &[u8],
    file: &Path,
    install_folder: &Path,
    sources: &Sources,
) -> Result<Loaded, Diagnostics> {
    let mut problems = Problems::default();
    let registry = decode(bytes, file, install_folder, sources, &mut problems);
    let failed = problems.has_errors();
    let diagnostics = problems.finish(file, bytes, profiles::BUILT_IN);
    match registry {
        Some(registry) if !failed => Ok(Loaded { registry, warnings: diagnostics }),
        _ => Err(diagnostics),
    }
}

/// `None` where an error was told that leaves nothing to decode.
fn decode(
    bytes: &[u8],
    file: &Path,
    install_folder: &Path,
    sources: &Sources,
    problems: &mut Problems,
) -> Option<Registry> {
    if bytes.len() as u64 > MAX_SIZE {
        let message = format!("the registry is larger than {} MiB", MAX_SIZE >> 20);
        let start = Place { text: Of::Registry, span: Span::default() };
        problems.push(Problem::error(message).at(start, ""));
        return None;
    }
    let root = tree::parse(bytes, problems)?;
    let built_in = tree::parse(profiles::BUILT_IN.as_bytes(), problems)?;
    if !vocabulary::check(&root, problems) {
        return None;
    }
    let settings = Settings::new(&root, sources, install_folder, problems);
    let mut decoder = Decoder::new(settings, install_folder, problems);
    let config = config::decode(root.child("config"), &mut decoder);
    let profiles = Profiles::read(&root, &built_in, &mut decoder);
    let components = assemble::components(&root, &profiles, &mut decoder);
    decoder.settings.tell_unused(decoder.problems);
    let components = validate::whole(components, decoder.problems);
    Some(Registry {
        file: file.to_owned(),
        install_folder: install_folder.to_owned(),
        config,
        components,
    })
}
