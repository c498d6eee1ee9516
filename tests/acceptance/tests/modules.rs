//! Tests that a module carries, as its users run them: with mocks and no credentials, and in a subscription.

use std::error::Error;

use hcs_acceptance::scenario::{GROUP, example_dir, set_consul};
use hcs_acceptance::{Scenario, Workspace};

type Done = Result<(), Box<dyn Error>>;

#[test]
fn a_modules_own_tests_pass_with_mocks_and_in_a_subscription() -> Done {
    let scenario = Scenario::start("modules", "", 60)?;
    let before = scenario.azure.objects()?;
    let mut module = Workspace::new(&scenario.dir.join("module"), &scenario.azure)?;
    module.copy(&example_dir("landing-zone/modules/consul"))?;
    module.init()?;
    let test = |module: &Workspace, file: &str| {
        module.run(&["test", "-no-color", &format!("-filter=tests/{file}.tftest.hcl")])
    };
    let credentials: Vec<(String, String)> =
        module.env().clone().into_iter().filter(|(name, _)| name.starts_with("ARM_")).collect();
    for (name, _) in &credentials {
        module.unset(name);
    }
    let told = test(&module, "mocked")?.expect_code(0)?;
    assert!(told.stdout.contains("3 passed, 0 failed"), "{}", told.stdout);
    for (name, value) in &credentials {
        module.set(name, value);
    }
    set_consul(&mut module)?;
    module.set("TF_VAR_resource_group_name", GROUP);
    let told = test(&module, "azure")?.expect_code(0)?;
    assert!(told.stdout.contains("2 passed, 0 failed"), "{}", told.stdout);
    let left: Vec<String> =
        scenario.azure.objects()?.into_iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(left, Vec::<String>::new(), "what a test made it destroyed");
    Ok(())
}
