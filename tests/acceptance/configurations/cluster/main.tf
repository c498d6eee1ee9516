# The cluster of most tests. What a test does not set is null, and so left out.

resource "hcs_cluster" "main" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  server_count        = var.server_count
  deletion_protection = var.deletion_protection
  lock                = var.lock
  tags                = var.tags

  zones             = var.zones
  zone_fallback     = var.zone_fallback
  vm_size           = var.vm_size
  vm_size_fallbacks = var.vm_size_fallbacks
  data_disk_gib     = var.data_disk_gib

  vnet_cidr     = var.vnet_cidr
  subnet_id     = var.subnet_id
  peer_vnet_ids = var.peer_vnet_ids

  consul_external_endpoint               = var.consul_external_endpoint
  consul_external_endpoint_allowed_cidrs = var.consul_external_endpoint_allowed_cidrs

  consul_version         = var.consul_version
  artifact_source        = var.consul_archive == null ? null : { location = var.consul_archive }
  consul_datacenter      = var.consul_datacenter
  consul_upgrade_channel = var.consul_upgrade_channel
  consul_release_index   = var.consul_release_index
  maintenance_windows    = var.maintenance_windows
  rotation_triggers      = var.rotation_triggers

  restore_from_snapshot_id            = var.restore_from_snapshot_id
  final_snapshot_storage_container_id = var.final_snapshot_storage_container_id
  skip_final_snapshot                 = var.skip_final_snapshot
}
