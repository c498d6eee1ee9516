//! For tests: documents as they are when all is well, to be changed in what a test is about.

use hcs_planner::dataplane::{
    ClusterDocument, ConsulArtifact, Form, ServerCertificates, ServerPhase, ServerStatus,
};
use hcs_planner::rotation::Rotations;
use hcs_planner::upgrade::Maintenance;

/// The document of so many servers.
pub(crate) fn cluster(server_count: u32) -> ClusterDocument {
    ClusterDocument {
        generation: 1,
        datacenter: "dc1".into(),
        server_count,
        slots: (0..server_count).collect(),
        others: vec![],
        consul: ConsulArtifact {
            version: semver::Version::new(1, 22, 2),
            sha256: String::new(),
            file_name: "consul".into(),
        },
        consul_before: None,
        consul_declared_at: 0,
        consul_server_config: serde_json::Map::new(),
        maintenance: Maintenance::default(),
        certificates: ServerCertificates::default(),
        host_manager: None,
        host_manager_before: None,
        rotations: Rotations::new(),
        form: Form::default(),
    }
}

/// What a server says whose Consul does not answer yet.
pub(crate) fn status(slot: u32) -> ServerStatus {
    ServerStatus {
        slot,
        node_name: format!("s{slot}"),
        written_at: String::new(),
        sequence: 1,
        address: "10.0.0.4".parse().unwrap(),
        phase: ServerPhase::Running,
        last_error: None,
        last_error_is_final: false,
        consul: None,
        done_requests: vec![],
        results: vec![],
        certificate_expires_at: None,
        consul_silent_seconds: 0,
        host_manager_version: String::new(),
        host_manager_sha256: String::new(),
        attention: vec![],
        rotations: [].into(),
        document_generation: None,
        upgrade: None,
        led_with: None,
    }
}
