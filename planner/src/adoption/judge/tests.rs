use super::*;

fn spec() -> ClusterSpec {
    ClusterSpec {
        consul_datacenter: "dc1".into(),
        consul_version: Version::new(1, 21, 5),
        subnet_id: Some(ArmId::new(
            "/subscriptions/s/resourceGroups/old/providers/Microsoft.Network/virtualNetworks/v/subnets/new",
        )),
        vnet_cidr: None,
        ..ClusterSpec::new("s", "demo", "rg", "westeurope")
    }
}

fn consul() -> ConsulBefore {
    let server = |number: u8| BeforeServer {
        node_name: format!("old-{number}"),
        address: [10, 0, 0, number].into(),
        version: "1.21.5".into(),
        is_voter: true,
        is_leader: number == 4,
        is_healthy: true,
    };
    ConsulBefore {
        datacenter: "dc1".into(),
        primary_datacenter: "dc1".into(),
        datacenters: vec!["dc1".into()],
        domain: "consul".into(),
        version: "1.21.5".into(),
        has_acls: true,
        default_policy: "deny".into(),
        verifies_outgoing: true,
        is_gossip_encrypted: true,
        gossip_keys: 1,
        is_management: true,
        is_healthy: true,
        servers: (4..7).map(server).collect(),
    }
}

fn machines() -> MachinesBefore {
    let machine = |number: u8| Machine {
        id: ArmId::new(format!("/vmss/old/virtualMachines/{number}")),
        computer_name: format!("host{number}"),
        addresses: vec![[10, 0, 0, number].into()],
        vnet_id: Some(ArmId::new(
            "/subscriptions/s/resourcegroups/OLD/providers/Microsoft.Network/virtualNetworks/v",
        )),
    };
    MachinesBefore { machines: (4..7).map(machine).collect(), revivers: vec![] }
}

fn blocked(
    spec: &ClusterSpec,
    consul: &ConsulBefore,
    machines: &MachinesBefore,
) -> Vec<&'static str> {
    let findings = judge(spec, consul, machines, &Ok(()));
    findings.iter().filter(|one| one.level == Level::Blocks).map(|one| one.check).collect()
}

#[test]
fn three_healthy_servers_in_one_network_are_adopted() {
    assert_eq!(blocked(&spec(), &consul(), &machines()), Vec::<&str>::new());
    let later = ClusterSpec { consul_version: Version::new(1, 21, 9), ..spec() };
    assert_eq!(blocked(&later, &consul(), &machines()), Vec::<&str>::new());
}

#[test]
fn each_shape_that_cannot_be_proven_safe_is_refused_by_one_reason() {
    type Change = fn(&mut ClusterSpec, &mut ConsulBefore, &mut MachinesBefore);
    let table: [(&str, Change); 20] = [
        ("edition", |_, c, _| c.version = "1.21.5+ent".into()),
        ("edition", |_, c, _| c.servers[1].version = "1.21.5+ent".into()),
        ("version", |_, c, _| c.servers[1].version = "1.21.4".into()),
        ("version", |s, _, _| s.consul_version = Version::new(1, 21, 4)),
        ("version", |s, _, _| s.consul_version = Version::new(1, 22, 0)),
        ("datacenter", |s, _, _| s.consul_datacenter = "dc2".into()),
        ("datacenter", |_, c, _| c.domain = "example".into()),
        ("federation", |_, c, _| c.datacenters.push("dc2".into())),
        ("federation", |_, c, _| c.primary_datacenter = "dc2".into()),
        ("tokens", |_, c, _| c.has_acls = false),
        ("tokens", |_, c, _| c.default_policy = "allow".into()),
        ("tokens", |_, c, _| c.is_management = false),
        ("gossip", |_, c, _| c.is_gossip_encrypted = false),
        ("gossip", |_, c, _| c.gossip_keys = 2),
        ("tls", |_, c, _| c.verifies_outgoing = false),
        ("health", |_, c, _| c.servers[2].is_healthy = false),
        ("health", |_, c, _| c.servers[2].is_voter = false),
        ("servers", |s, _, _| s.server_count = 1),
        ("machines", |_, _, m| drop(m.machines.pop())),
        ("machines stay off", |_, _, m| m.revivers.push("automatic repairs are on".into())),
    ];
    for (check, change) in table {
        let (mut spec, mut consul, mut machines) = (spec(), consul(), machines());
        change(&mut spec, &mut consul, &mut machines);
        assert_eq!(blocked(&spec, &consul, &machines), [check]);
    }
    let unsigned = judge(&spec(), &consul(), &machines(), &Err("the key is another one's".into()));
    let told: Vec<&Finding> = unsigned.iter().filter(|one| one.level == Level::Blocks).collect();
    assert_eq!((told.len(), told[0].check), (1, "authority"));
}

#[test]
fn every_refusal_says_what_to_do() {
    let mut nothing = consul();
    (nothing.has_acls, nothing.is_gossip_encrypted, nothing.verifies_outgoing) =
        (false, false, false);
    for finding in judge(&spec(), &nothing, &MachinesBefore::default(), &Err("none".into())) {
        assert_eq!(finding.mend.is_none(), finding.level == Level::Good, "{finding:?}");
    }
}

#[test]
fn servers_of_another_network_are_adopted_where_it_is_peered() {
    let own = ClusterSpec { subnet_id: None, ..spec() };
    assert_eq!(blocked(&own, &consul(), &machines()), ["network"]);
    let vnet = machines().machines[0].vnet_id.clone().unwrap();
    let peered = ClusterSpec { peer_vnet_ids: vec![vnet], ..own };
    assert_eq!(blocked(&peered, &consul(), &machines()), Vec::<&str>::new());
}

#[test]
fn a_machine_is_told_by_its_address_before_its_name() {
    let mut machines = machines().machines;
    // Names lie crosswise; addresses count.
    machines[0].computer_name = "old-5".into();
    let found = matched(&consul().servers, &machines).unwrap();
    assert_eq!(found[0].machine_id.as_str(), "/vmss/old/virtualMachines/4");
    // Without addresses, as where they are translated, names do.
    for (machine, number) in machines.iter_mut().zip(4..) {
        machine.addresses.clear();
        machine.computer_name = format!("OLD-{number}");
    }
    assert_eq!(matched(&consul().servers, &machines).unwrap().len(), 3);
    // One machine is never two servers.
    machines[1].computer_name = "old-4".into();
    assert!(matched(&consul().servers, &machines).unwrap_err().contains(&"old-4".to_owned()));
}
