//! Wire types, servers and clients of Terraform's plugin protocol 6 (revision 6.11) and of the
//! go-plugin services that share its connection.
//!
//! Everything here is generated from `proto/*.proto`; this crate must never hold logic.

/// The provider protocol.
pub mod tfplugin6 {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
    tonic::include_proto!("tfplugin6");
}

/// Controller, broker and standard streams of go-plugin.
pub mod plugin {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
    tonic::include_proto!("plugin");
}

/// The gRPC health check.
pub mod health {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
    tonic::include_proto!("grpc.health.v1");
}
