#!/usr/bin/env python3
"""Microsoft's Python SDK judges a running azure-emulator.

Needs: azure-identity azure-storage-blob azure-mgmt-{resource,resource-locks,resource-subscriptions,
network,compute,storage,msi,authorization,privatedns}. Usage: python_sdk.py DIR, where DIR is the
folder of a running `azure-emulator serve --dir DIR --time-scale 1000`. Exit code 0: all judged well.
"""

import base64
import io
import json
import os
import sys
import time
import uuid

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.privatedns import PrivateDnsManagementClient
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobBlock, BlobServiceClient

LOCATION = "westeurope"
GROUP = "sdk-judge"
OWNER_OBJECT_ID = "44444444-4444-4444-8444-444444444444"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"


def read_env(folder):
    env = {}
    with open(os.path.join(folder, "env"), encoding="utf-8") as lines:
        for line in lines:
            name, value = line.strip().removeprefix("export ").split("=", 1)
            env[name] = value.strip("'")
    return env


def raw(body):
    """A body as ARM defines it: SDK generations differ in how they read dictionaries."""
    return io.BytesIO(json.dumps(body).encode())


class Judge:
    def __init__(self, folder):
        env = read_env(folder)
        self.base = "https://" + env["ARM_METADATA_HOSTNAME"]
        self.subscription = env["ARM_SUBSCRIPTION_ID"]
        self.ca = env["SSL_CERT_FILE"]
        self.credential = ClientSecretCredential(
            env["ARM_TENANT_ID"], env["ARM_CLIENT_ID"], env["ARM_CLIENT_SECRET"],
            authority=self.base, disable_instance_discovery=True, connection_verify=self.ca)
        self.passed = 0

    def client(self, kind, subscription=True):
        arguments = [self.credential] + ([self.subscription] if subscription else [])
        return kind(*arguments, base_url=self.base, connection_verify=self.ca,
                    credential_scopes=["https://management.azure.com/.default"])

    def check(self, what, holds=True):
        if not holds:
            raise AssertionError(what)
        self.passed += 1
        print("ok  ", what)

    def refused(self, what, code, call):
        try:
            call()
        except HttpResponseError as error:
            self.check(what, error.error is not None and error.error.code == code)
            return
        raise AssertionError(f"{what}: not refused")


def run(judge):
    poll = {"polling_interval": 1}
    subscriptions = judge.client(SubscriptionClient, subscription=False)
    found = [row.subscription_id for row in subscriptions.subscriptions.list()]
    judge.check("subscriptions list", found == [judge.subscription])

    resources = judge.client(ResourceManagementClient)
    group = resources.resource_groups.create_or_update(GROUP, raw({"location": LOCATION}))
    judge.check("group", group.properties.provisioning_state == "Succeeded")
    judge.check("group exists", resources.resource_groups.check_existence(GROUP))
    judge.check("providers", any(p.namespace == "Microsoft.Network" for p in resources.providers.list()))

    network = judge.client(NetworkManagementClient)
    nsg = network.network_security_groups.begin_create_or_update(GROUP, "nsg", raw({
        "location": LOCATION,
        "properties": {"securityRules": [{"name": "https", "properties": {
            "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 100,
            "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "8501",
        }}]},
    }), **poll).result()
    judge.check("security group", nsg.provisioning_state == "Succeeded")
    vnet = network.virtual_networks.begin_create_or_update(GROUP, "vnet", raw({
        "location": LOCATION,
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
            "subnets": [{"name": "servers", "properties": {
                "addressPrefix": "10.1.1.0/24", "networkSecurityGroup": {"id": nsg.id},
            }}],
        },
    }), **poll).result()
    subnet = vnet.subnets[0]
    judge.check("network", subnet.provisioning_state == "Succeeded")
    address = network.public_ip_addresses.begin_create_or_update(GROUP, "pip", raw({
        "location": LOCATION, "sku": {"name": "Standard"}, "zones": ["1", "2", "3"],
        "properties": {"publicIPAllocationMethod": "Static"},
    }), **poll).result()
    judge.check("public address", bool(address.ip_address))
    network.nat_gateways.begin_create_or_update(GROUP, "nat", raw({
        "location": LOCATION, "sku": {"name": "Standard"},
        "properties": {"publicIpAddresses": [{"id": address.id}]},
    }), **poll).result()
    judge.check("NAT gateway")
    judge.refused("address in use", "PublicIPAddressCannotBeDeleted",
                  lambda: network.public_ip_addresses.begin_delete(GROUP, "pip", **poll).result())
    balancer = network.load_balancers.begin_create_or_update(GROUP, "lb", raw({
        "location": LOCATION, "sku": {"name": "Standard"},
        "properties": {
            "frontendIPConfigurations": [{"name": "fe", "properties": {"subnet": {"id": subnet.id}}}],
            "backendAddressPools": [{"name": "pool"}],
            "probes": [{"name": "tcp", "properties": {"protocol": "Tcp", "port": 8501}}],
        },
    }), **poll).result()
    judge.check("balancer", bool(balancer.frontend_ip_configurations[0].private_ip_address))

    dns = judge.client(PrivateDnsManagementClient)
    dns.private_zones.begin_create_or_update(
        GROUP, "judge.internal", raw({"location": "global"}), **poll).result()
    dns.virtual_network_links.begin_create_or_update(GROUP, "judge.internal", "link", raw({
        "location": "global",
        "properties": {"virtualNetwork": {"id": vnet.id}, "registrationEnabled": False},
    }), **poll).result()
    record = dns.record_sets.create_or_update(GROUP, "judge.internal", "A", "consul", raw({
        "properties": {"ttl": 10, "aRecords": [{"ipv4Address": "10.1.1.5"}]}}))
    judge.check("private DNS", record.fqdn == "consul.judge.internal.")

    identities = judge.client(ManagedServiceIdentityClient)
    identity = identities.user_assigned_identities.create_or_update(
        GROUP, "server", raw({"location": LOCATION}))
    judge.check("identity", bool(identity.principal_id))

    storage = judge.client(StorageManagementClient)
    name = "judge" + uuid.uuid4().hex[:12]
    judge.check("name is free", storage.storage_accounts.check_name_availability(
        raw({"name": name, "type": "Microsoft.Storage/storageAccounts"})).name_available)
    account = storage.storage_accounts.begin_create(GROUP, name, raw({
        "location": LOCATION, "kind": "StorageV2", "sku": {"name": "Standard_ZRS"},
        "properties": {"allowSharedKeyAccess": False},
    }), **poll).result()
    judge.check("storage account", account.provisioning_state == "Succeeded")
    storage.blob_containers.create(GROUP, name, "config", raw({"properties": {}}))
    judge.check("container", [c.name for c in storage.blob_containers.list(GROUP, name)] == ["config"])

    service = storage.file_services.get_service_properties(GROUP, name)
    judge.check("file service", service.name == "default")
    resources.tags.begin_update_at_scope(account.id, raw({
        "operation": "Merge", "properties": {"tags": {"team": "judge"}}}), **poll).result()
    judge.check("tags", resources.tags.get_at_scope(account.id).properties.tags == {"team": "judge"})
    judge.refused("a reserved tag", "InvalidTagNamePrefix", lambda: resources.tags.begin_update_at_scope(
        account.id, raw({"operation": "Merge", "properties": {"tags": {"azure-x": "y"}}}), **poll).result())

    roles = judge.client(AuthorizationManagementClient)
    definition = f"/subscriptions/{judge.subscription}/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}"
    arguments = {"properties": {"roleDefinitionId": definition, "principalId": OWNER_OBJECT_ID,
                                "principalType": "ServicePrincipal"}}
    roles.role_assignments.create(account.id, str(uuid.uuid4()), raw(arguments))
    judge.refused("role assigned twice", "RoleAssignmentExists",
                  lambda: roles.role_assignments.create(account.id, str(uuid.uuid4()), raw(arguments)))
    blobs(judge, account)

    compute = judge.client(ComputeManagementClient)
    sizes = compute.resource_skus.list(filter=f"location eq '{LOCATION}'")
    judge.check("sizes", any(s.name == "Standard_D2s_v5" and len(s.location_info[0].zones) == 3 for s in sizes))
    judge.check("usages", any(u.name.value == "cores" for u in compute.usage.list(LOCATION)))
    scale_set(judge, compute, subnet, identity, balancer, poll)

    locks = judge.client(ManagementLockClient)
    locks.management_locks.create_or_update_at_resource_group_level(GROUP, "hcs", raw({"properties": {"level": "CanNotDelete"}}))
    judge.refused("locked group", "ScopeLocked",
                  lambda: resources.resource_groups.begin_delete(GROUP, **poll).result())
    locks.management_locks.delete_at_resource_group_level(GROUP, "hcs")
    time.sleep(0.5)
    resources.resource_groups.begin_delete(GROUP, **poll).result()
    judge.check("group is gone", not resources.resource_groups.check_existence(GROUP))


def blobs(judge, account):
    service = BlobServiceClient(account.primary_endpoints.blob, credential=judge.credential,
                                connection_verify=judge.ca, retry_total=0)
    container = service.get_container_client("config")
    blob = container.get_blob_client("dir/a b.txt")
    for _ in range(100):
        try:
            blob.upload_blob(b"hello world", overwrite=True, metadata={"made": "here"})
            break
        except HttpResponseError as error:
            if error.status_code != 403:
                raise
            time.sleep(0.05)
    properties = blob.get_blob_properties()
    judge.check("blob", (properties.size, properties.metadata) == (11, {"made": "here"}))
    judge.check("range", blob.download_blob(offset=6, length=5).readall() == b"world")
    try:
        blob.upload_blob(b"again", overwrite=False)
        raise AssertionError("overwritten")
    except ResourceExistsError:
        judge.check("no overwrite")
    big = container.get_blob_client("big")
    parts = [os.urandom(1 << 20) for _ in range(3)]
    for number, part in enumerate(parts):
        big.stage_block(f"{number:08}", part)
    big.commit_block_list([BlobBlock(f"{number:08}") for number in range(3)])
    judge.check("blocks", big.download_blob().readall() == b"".join(parts))
    lease = big.acquire_lease(15)
    try:
        big.delete_blob()
        raise AssertionError("a leased blob was deleted")
    except HttpResponseError as error:
        judge.check("lease", error.error_code == "LeaseIdMissing")
    lease.release()
    log = container.get_blob_client("log")
    log.create_append_blob()
    log.append_block(b"one\n")
    log.append_block(b"two\n")
    judge.check("append", log.download_blob().readall() == b"one\ntwo\n")
    names = [b.name for page in container.list_blobs(results_per_page=1).by_page() for b in page]
    judge.check("blob pages", names == ["big", "dir/a b.txt", "log"])
    big.delete_blob()
    try:
        big.get_blob_properties()
        raise AssertionError("a deleted blob is there")
    except ResourceNotFoundError:
        judge.check("blob deleted")


def scale_set(judge, compute, subnet, identity, balancer, poll):
    data = base64.b64encode(b'#cloud-config\n{"write_files":[{"path":"/x","content":"y"}]}').decode()
    body = {
        "location": LOCATION, "zones": ["1"],
        "sku": {"name": "Standard_D2s_v5", "tier": "Standard", "capacity": 1},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}},
        "properties": {
            "orchestrationMode": "Uniform", "overprovision": False,
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": {
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "ubuntu-24_04-lts",
                                       "sku": "server", "version": "latest"},
                    "osDisk": {"createOption": "FromImage"},
                },
                "osProfile": {
                    "computerNamePrefix": "judge", "adminUsername": "azureuser", "customData": data,
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": True,
                        "ssh": {"publicKeys": [{"path": "/home/azureuser/.ssh/authorized_keys",
                                                "keyData": "ssh-ed25519 AAAA"}]},
                    },
                },
                "networkProfile": {"networkInterfaceConfigurations": [{
                    "name": "nic",
                    "properties": {"primary": True, "ipConfigurations": [{
                        "name": "ip",
                        "properties": {
                            "subnet": {"id": subnet.id},
                            "loadBalancerBackendAddressPools": [
                                {"id": balancer.backend_address_pools[0].id}],
                        },
                    }]},
                }]},
            },
        },
    }
    made = compute.virtual_machine_scale_sets.begin_create_or_update(GROUP, "server-0", raw(body), **poll).result()
    judge.check("scale set", made.provisioning_state == "Succeeded")
    judge.check("custom data is not shown", made.virtual_machine_profile.os_profile.custom_data is None)
    rows = list(compute.virtual_machine_scale_set_vms.list(GROUP, "server-0"))
    judge.check("instances", [(r.instance_id, r.zones) for r in rows] == [("0", ["1"])])
    view = compute.virtual_machine_scale_set_vms.get_instance_view(GROUP, "server-0", "0")
    judge.check("power", any(s.code == "PowerState/running" for s in view.statuses))
    compute.virtual_machine_scale_sets.begin_delete(GROUP, "server-0", **poll).result()
    try:
        compute.virtual_machine_scale_sets.get(GROUP, "server-0")
        raise AssertionError("a deleted scale set is there")
    except ResourceNotFoundError:
        judge.check("scale set deleted")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    judge = Judge(sys.argv[1])
    run(judge)
    print(f"{judge.passed} checks passed")


if __name__ == "__main__":
    main()
