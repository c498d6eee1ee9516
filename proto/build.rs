//! Compiles the interface descriptions in pure Rust, so that no `protoc` is needed.

use std::error::Error;

const FILES: [&str; 3] = ["proto/tfplugin6.proto", "proto/plugin.proto", "proto/health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        // A method that we do not implement answers `Unimplemented`, also when the protocol grows.
        .generate_default_stubs(true)
        .btree_map(".tfplugin6")
        // Values are large and passed on: shared bytes make that cheap.
        .bytes(".tfplugin6.DynamicValue")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
