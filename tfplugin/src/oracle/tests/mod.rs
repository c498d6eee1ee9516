//! The judge finds nothing in a well-behaved provider, and every planted fault.

mod faults;
mod keeper;
mod world;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Driver;
use crate::value::Value;
use keeper::Keeper;
use world::{World, blur, world};

/// `HCS_CASES` asks for more cases.
fn settings() -> Config {
    let wanted = std::env::var("HCS_CASES").ok().and_then(|text| text.parse().ok());
    Config {
        cases: wanted.unwrap_or(256),
        failure_persistence: None,
        max_shrink_iters: 4096,
        ..Config::default()
    }
}

/// A whole life: made, changed, imported, removed, with unknowns in every plan.
async fn live(world: &World, seeds: [u64; 2]) -> Result<(), String> {
    let keeper = Arc::new(Keeper::new(world.schema.clone()));
    let mut driver = Driver::new(keeper);
    for (config, seed) in world.configs.iter().zip(seeds) {
        let early = blur(&world.schema, config, seed);
        driver.apply(&early, config).await.map_err(|failed| format!("{failed:?}"))?;
    }
    let id = driver.state().get("id").as_str().unwrap_or_default().to_owned();
    driver.import(&id).await.map_err(|failed| format!("{failed:?}"))?;
    driver.destroy().await.map_err(|failed| format!("{failed:?}"))?;
    match driver.violations() {
        [] => Ok(()),
        found => Err(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

#[test]
fn a_schema_driven_provider_keeps_the_contract_whatever_the_schema() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(settings());
    let result = runner.run(&(world(), any::<[u64; 2]>()), |(world, seeds)| {
        runtime.block_on(live(&world, seeds)).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn blurring_makes_unknowns_and_nothing_else() {
    let mut runner = TestRunner::new(settings());
    let mut blurred = 0;
    let result = runner.run(&(world(), any::<u64>()), |(world, seed)| {
        let early = blur(&world.schema, &world.configs[0], seed);
        prop_assert!(
            super::compatible(&world.schema.implied_type(), &early, &world.configs[0]).is_empty()
        );
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // The property above would also hold if nothing were ever blurred.
    let schema = crate::Schema::new(0).attribute(crate::Attribute::string("a").required());
    let config = Value::object([("a", Value::from("x"))]);
    for seed in 0..20 {
        blurred += usize::from(blur(&schema, &config, seed).get("a").is_unknown());
    }
    assert!((1..20).contains(&blurred), "{blurred}");
}
