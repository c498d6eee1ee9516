//! Schema of `hcs_cluster`. Its version starts at 1: 0 belongs to the retired provider of the same name.

use tfplugin::{Attribute, Schema, Type};

/// Current schema version.
const VERSION: i64 = 1;

pub(super) fn schema() -> Schema {
    Schema::new(VERSION)
        .describe(
            "A highly available Consul cluster in your own subscription: one server a zone in \
             turn, TLS and ACLs on from the first second.",
        )
        .attributes(inputs())
        .attributes(machine_inputs())
        .attributes(network_inputs())
        .attributes(computed_attributes())
        .blocks(super::timeouts().block())
}

fn inputs() -> Vec<Attribute> {
    vec![
        Attribute::string("name").required().describe(
            "Name of the cluster: 3 to 32 lower-case letters, digits and hyphens. Changing it \
             makes another cluster.",
        ),
        Attribute::string("resource_group_name").required().describe(
            "Your resource group, to which the cluster belongs. The infrastructure lives in a \
             group of its own, see `managed_resource_group_name`.",
        ),
        Attribute::string("location").optional().computed().describe(
            "Azure region; default: that of the resource group. Set it where the group is made \
             in the same run.",
        ),
        Attribute::string("managed_resource_group_name").optional().computed().describe(
            "Group that holds the infrastructure; default `<resource_group_name>-mrg-<name>`.",
        ),
        Attribute::string("consul_datacenter")
            .optional()
            .computed()
            .describe("Consul datacenter; default: `name`."),
        Attribute::number("server_count")
            .optional()
            .computed()
            .describe("Number of servers: 1, 3 (default), 5 or 7. Can be changed in place."),
        Attribute::list("zones", Type::String).optional().computed().describe(
            "Zones in the order of placement: server `i` lives in `zones[i mod length]`. \
             Default: all that offer the size. A server whose zone changes is made anew.",
        ),
        Attribute::string("ssh_public_key").optional().describe(
            "Public SSH key of servers that are made from now on; default: a key whose private \
             half nobody has. Ed25519, or RSA of 2048 bits and more: Azure takes no other.",
        ),
        Attribute::list("ssh_allowed_cidrs", Type::String).optional().computed().describe(
            "Private IPv4 ranges from which SSH reaches the servers; default: none, and \
             `az vmss run-command invoke` is the way in. Needs `ssh_public_key`. Ranges of the internet are \
             refused: the servers have no public addresses.",
        ),
        Attribute::nested_single(
            "artifact_source",
            [
                Attribute::string("location")
                    .required()
                    .describe("Folder, file or `https://` URL of Consul's Linux archive."),
                Attribute::string("sha256")
                    .optional()
                    .describe("Its SHA-256; needed for a URL of a release that is not known."),
            ],
        )
        .optional()
        .computed()
        .describe(
            "Where Consul's archive comes from; default: HashiCorp's releases. Once set it is \
             remembered.",
        ),
        Attribute::string("consul_version").optional().computed().describe(
            "Exact Consul version; default: the newest known at creation. A newer one is \
                 rolled out one server at a time, the leader last; Consul does not go back.",
        ),
        Attribute::string("lock")
            .optional()
            .computed()
            .describe("Lock on the managed group: `CanNotDelete` (default) or `none`."),
        Attribute::bool("force_destroy").optional().computed().describe(
            "Whether a destroy takes along what others put into the managed group, such as a policy, backup or \
             Defender; default false: it names them and stops. What the state says counts, so set and apply it before \
             the destroy. A group that was there before the cluster keeps what others put there in any case.",
        ),
        Attribute::bool("deletion_protection")
            .optional()
            .computed()
            .describe(
                "Whether a destroy or a replacement is refused; default false. What counts is what the state says: \
                 set it to false and apply before you destroy.",
            ),
        Attribute::map("tags", Type::String).optional().computed().describe(
            "Tags of the cluster's objects. A null value takes a key away.",
        ),
    ]
}

fn machine_inputs() -> Vec<Attribute> {
    vec![
        Attribute::string("zone_fallback").optional().computed().describe(
            "What happens to a new server whose zone has no capacity: `strict` (default) stops \
             the apply, `prefer` tries `vm_size_fallbacks` and then the other zones, \
             `best_effort` at last goes outside of any zone. With a fallback the zones of new \
             servers are known after the apply.",
        ),
        Attribute::string("vm_size").optional().computed().describe(
            "VM size of the servers; default `Standard_D2s_v5`. Changing it restarts one server \
             after the other, the leader last.",
        ),
        Attribute::list("vm_size_fallbacks", Type::String).optional().computed().describe(
            "Sizes to try in this order where `vm_size` has no capacity; only with a \
             `zone_fallback`.",
        ),
        Attribute::nested_single(
            "image",
            [
                Attribute::string("publisher").required().describe("e.g. `Canonical`."),
                Attribute::string("offer").required().describe("e.g. `ubuntu-24_04-lts`."),
                Attribute::string("sku").required().describe("e.g. `server`."),
                Attribute::string("version").required().describe("An exact version or `latest`."),
            ],
        )
        .optional()
        .computed()
        .describe(
            "Marketplace image of the servers; default Ubuntu 24.04 LTS. Changing it makes one \
             server after the other anew, beside a helper that joins first.",
        ),
        Attribute::number("os_disk_gib").optional().computed().describe(
            "OS disk of a server in GiB; default 64. Changing it makes the servers anew.",
        ),
        Attribute::number("data_disk_gib").optional().computed().describe(
            "Data disk of a server in GiB, which holds Consul's data; default 32. Changing it \
                 makes the servers anew.",
        ),
    ]
}

fn network_inputs() -> Vec<Attribute> {
    vec![
        Attribute::string("vnet_cidr").optional().computed().describe(
            "Address space of the cluster's network, /27 or larger; default `172.25.16.0/24`.",
        ),
        Attribute::string("subnet_id").optional().describe(
            "Your own subnet for the servers, instead of a network of the cluster's: /27 or \
             larger, in the cluster's region, with a way out. Its security group is yours to keep. \
             Changing it makes another cluster.",
        ),
        Attribute::list("peer_vnet_ids", Type::String)
            .optional()
            .computed()
            .describe("Ids of virtual networks to peer with, both ways; not with `subnet_id`."),
        Attribute::string("private_dns_zone_id").optional().describe(
            "Id of a private DNS zone of yours, such as a hub's, in which the servers have their names \
             (`consul.<name>.<zone>`), instead of a zone of the cluster's own. Many clusters fit into one zone; where \
             it answers is yours to link. Changing it makes another cluster.",
        ),
        Attribute::bool("consul_external_endpoint").optional().computed().describe(
            "Whether Consul's HTTPS API can be reached from outside, by `allowed_cidrs` only; \
             default false.",
        ),
        Attribute::list("allowed_cidrs", Type::String)
            .optional()
            .computed()
            .describe("IPv4 ranges that may call the external endpoint; needed with it."),
    ]
}

fn computed_attributes() -> Vec<Attribute> {
    let text = |name: &str, markdown: &str| Attribute::string(name).computed().describe(markdown);
    vec![
        text("id", "ARM id of the managed resource group: a scope for roles and locks."),
        text(
            "incarnation_id",
            "Which cluster of its id this is. A create begins a new one; a state that holds an earlier one \
             can neither change nor destroy it.",
        ),
        text(
            "state",
            "`running`, `degraded` (servers report a problem) or `converging` (a change is under \
             way or was interrupted; apply again).",
        ),
        Attribute::map("tags_all", Type::String)
            .computed()
            .describe("`tags` with the provider's `default_tags`."),
        Attribute::nested_list(
            "servers",
            [
                text("name", "Name of scale set and Consul node."),
                Attribute::number("slot").computed().describe("Permanent place, from 0."),
                text("zone", "Zone of the subscription; null in a region without zones."),
                text("physical_zone", "Data centre behind it, the same for every subscription."),
                text("vmss_id", "Scale set."),
                text("private_ip", "Address in the cluster's network."),
                text("consul_version", "Version that runs, as last read."),
            ],
        )
        .computed()
        .describe("The servers by slot."),
        Attribute::nested_single(
            "quorum",
            [
                Attribute::number("size").computed().describe("Votes needed."),
                Attribute::number("server_losses").computed().describe("Servers it may lose."),
                Attribute::list("zone_losses", Type::String)
                    .computed()
                    .describe("Zones of which it may lose any single one."),
            ],
        )
        .computed()
        .describe("What the cluster survives."),
        Attribute::nested_map(
            "azure_resources",
            [
                text("type", "ARM type."),
                text("name", "Name in Azure."),
                text("fingerprint", "Of the properties that hcs owns."),
            ],
        )
        .computed()
        .describe(
            "Every Azure object of the cluster: as read in the state, as it will be in the plan.",
        ),
        Attribute::list("drift", Type::String).computed().describe(
            "What was changed outside of Terraform, and which server is lost, in sentences; \
                 empty when planned.",
        ),
        text("vnet_id", "Virtual network."),
        text("vnet_name", "Its name."),
        text("vnet_resource_group_name", "Its group."),
        text("storage_account_name", "Storage account of configuration and snapshots."),
        text("blob_container_name", "Container of the snapshots."),
        text("consul_ca_file", "The CA certificate, PEM in base64."),
        text(
            "consul_config_file",
            "Configuration of a client agent for this version of Consul, JSON in base64; expects `consul_ca_file` at `/etc/consul.d/ca.pem`. Holds no secret: gossip key and token come from the ephemeral `hcs_cluster_client_config`.",
        ),
        Attribute::list("retry_join", Type::String)
            .computed()
            .describe("What clients join: a private DNS name that lists all servers."),
        text("consul_private_endpoint_url", "Consul's HTTPS API inside the network."),
        text(
            "consul_external_endpoint_url",
            "Consul's HTTPS API from outside; null without an external endpoint.",
        ),
        text("certificates_expire_at", "When the first server certificate expires, as last read."),
        text(
            "consul_private_endpoint_ip_address",
            "Address of the internal balancer of Consul's HTTPS API.",
        ),
        text(
            "image_version",
            "Version of the image that the servers were made with, as last read; the oldest where they differ. \
             With `latest` each server is made with the newest of its day and keeps it.",
        ),
    ]
}
