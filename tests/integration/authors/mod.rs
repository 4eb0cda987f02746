//! What authors in other languages get: the SDKs' own checks, and their packages installed as an author installs them.

mod python;
