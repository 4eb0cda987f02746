//! What authors in other languages get: the SDKs' own checks, their packages installed as an author installs them, and builds.

mod build;
mod cookbook;
mod guides;
mod mistakes;
mod new;
mod python;
mod typescript;
