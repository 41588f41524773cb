//! The demo: a registry of three small components, and these components themselves.
//!
//! Owns a temporary folder and what stands in it. Knows nothing of the engine: the registry is a
//! file like any other, and a component is a program like any other, which happens to be in the
//! same binary so that nothing has to be installed.

pub mod component;
pub mod registry;
mod state;
