//! Rounds of checks of one run: readiness until it passes, then health.
