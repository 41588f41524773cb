//! The files that are shipped: the model registry and the built-in profiles.

use std::{fs, path::Path};

use s7supervisor::registry::{Sources, load};

use super::support::INSTALL;

fn asset(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

#[test]
fn the_model_registry_loads_without_a_word() {
    let file = asset("SupervisorRegistry.xml");
    let loaded = load(&file, Path::new(INSTALL), &Sources::default())
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false, 100));
    let ids: Vec<&str> =
        loaded.registry.components.iter().map(|component| &*component.id).collect();
    assert_eq!(ids, ["is", "svg", "ps"]);
}

/// A profile of the registry with the text of a built-in one loads as well as that: so the
/// built-in ones can be copied as a start, and their file holds nothing unknown.
#[test]
fn the_built_in_profiles_can_be_copied_into_a_registry() {
    let text = fs::read_to_string(asset("profiles.xml")).expect("a readable file");
    let profiles = &text[text.find("\n<profiles>").expect("its root")..];
    // Java64 extends Java32, and so on: in one file they find each other.
    let loaded = super::support::load(&format!("<supervisor>{profiles}</supervisor>"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false, 100));
}
