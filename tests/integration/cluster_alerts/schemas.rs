//! The schemas that the API of Kubernetes publishes judge what the handlers' tests take for its answers.

use std::path::Path;

use tests::modules::workspace;
use tests::python;

/// The schemas of the API's versions, and a program that judges objects by them.
const PACKAGE: &str = "kubernetes-validate==1.37.0";

#[test]
fn every_object_of_the_handlers_tests_is_one_that_the_api_can_answer() {
    let python = match python::environment("kubernetes-validate", &[PACKAGE]) {
        Ok(python) => python,
        Err(error) if std::env::var_os("GITHUB_ACTIONS").is_some() => panic!("{error:#}"),
        Err(error) => {
            return tests::skipped(&format!(
                "SKIPPED: the schemas of Kubernetes did not judge the handlers' cases: {error:#}"
            ));
        }
    };
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/cluster_alerts/schemas.py");
    let handlers = workspace().join("handlers");
    let said = python::program(&python, &program, &[&handlers.to_string_lossy()]);
    let said = said.unwrap_or_else(|error| panic!("{error:#}"));
    let judged = said.lines().last().unwrap_or_default();
    assert!(judged.ends_with(" objects are valid"), "{said}");
    // It finds a mistake: a field that does not exist, and one that is missing.
    let refused = python::program(&python, &program, &["--mistakes"]).unwrap();
    assert_eq!(refused.trim(), "both mistakes are found");
}
