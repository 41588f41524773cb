//! What the tests share.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use s7supervisor::registry::{Component, Diagnostics, Loaded, Sources, parse};

pub const INSTALL: &str = "/opt/ImageServing";

/// Files of a folder under `tests/registry`, by name.
pub fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder of the test's registries");
    let mut files: Vec<(String, PathBuf)> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, path)
        })
        .collect();
    files.sort();
    files
}

pub fn sources(overrides: &[(&str, &str)], environment: &[(&str, &str)]) -> Sources {
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Sources {
        overrides: overrides.iter().map(pair).collect(),
        environment: environment.iter().map(pair).collect::<BTreeMap<_, _>>(),
    }
}

pub fn read(bytes: &[u8]) -> Result<Loaded, Diagnostics> {
    parse(bytes, Path::new("SupervisorRegistry.xml"), Path::new(INSTALL), &Sources::default())
}

/// Loads what must load, with this in the environment and on the command line.
#[track_caller]
pub fn load_with(text: &str, sources: &Sources) -> Loaded {
    parse(text.as_bytes(), Path::new("SupervisorRegistry.xml"), Path::new(INSTALL), sources)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false, 100)))
}

#[track_caller]
pub fn load(text: &str) -> Loaded {
    load_with(text, &Sources::default())
}

/// The only component of a registry with this inside its `<server>`, and this before.
#[track_caller]
pub fn component(before: &str, inside: &str) -> Component {
    let text = format!(
        "<supervisor>{before}<servers><server id=\"a\">{inside}</server></servers></supervisor>"
    );
    let loaded = load(&text);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false, 100));
    loaded.registry.components.into_iter().next().expect("one component").arc().as_ref().clone()
}

/// What is wrong, one line a problem.
#[track_caller]
pub fn problems(text: &str, sources: &Sources) -> String {
    let file = Path::new("SupervisorRegistry.xml");
    match parse(text.as_bytes(), file, Path::new(INSTALL), sources) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}
