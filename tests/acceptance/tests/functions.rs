//! Functions, and data sources that need no cluster: the reference's own examples, run as they stand.

use hcs_acceptance::docs::{VERSIONS_EXAMPLE, ZONES_EXAMPLE};
use hcs_acceptance::{HarnessError, Scenario};

type Done = Result<(), HarnessError>;

/// The configuration in a page.
fn code(page: &str) -> &str {
    let code = page.split("```terraform\n").nth(1).and_then(|rest| rest.split("```").next());
    code.unwrap_or_default()
}

#[test]
fn the_references_examples_give_what_they_say() -> Done {
    let scenario = Scenario::start("functions", "", 60)?;
    scenario.terraform.add("functions/main.tf")?;
    scenario.terraform.write("versions.tf", code(VERSIONS_EXAMPLE))?;
    scenario.terraform.write("zones.tf", code(ZONES_EXAMPLE))?;
    scenario.terraform.init()?;
    let applied =
        scenario.terraform.run(&["apply", "-no-color", "-auto-approve"])?.expect_code(0)?;
    let shown = applied.stdout.split("\nOutputs:").nth(1).unwrap_or_default();
    for line in ["quorum = 3", "parsed = \"rg-mrg-demo\"", "newest_in_one_step = \"2."] {
        assert!(shown.contains(line), "{line} is missing in {shown}");
    }
    let places: Vec<&str> =
        shown.lines().skip_while(|line| !line.contains("places_of_five")).skip(1).take(5).collect();
    let places: Vec<&str> = places.iter().map(|line| line.trim().trim_end_matches(',')).collect();
    assert_eq!(places, ["\"1\"", "\"2\"", "\"3\"", "\"1\"", "\"2\""], "{shown}");

    scenario.terraform.add("functions/wrong.tf")?;
    let refused = scenario.terraform.run(&["plan", "-no-color"])?;
    let told = refused.stderr.replace('\n', " ");
    assert!(told.contains("1, 3, 5 or 7") && told.contains("servers"), "{told}");
    Ok(())
}
