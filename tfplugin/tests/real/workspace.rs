//! The examples' programs in folders of their own.

use std::fs;

pub(crate) use tfplugin::testing::{Workspace, program};

/// A new folder with this configuration for the example provider.
pub(crate) fn example(configuration: &str) -> Workspace {
    of("example", configuration)
}

/// A new folder with this configuration for one of the examples.
pub(crate) fn of(provider: &str, configuration: &str) -> Workspace {
    let program = program(&format!("terraform-provider-{provider}"));
    let workspace = Workspace::new(&program, configuration);
    let boxes = workspace.folder("boxes");
    fs::create_dir(&boxes).unwrap();
    let block = format!("provider \"{provider}\" {{\n  folder = \"{}\"\n}}\n", boxes.display());
    fs::write(workspace.folder("provider.tf"), block).unwrap();
    workspace
}
