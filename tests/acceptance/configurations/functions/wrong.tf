# No cluster has four servers.

output "wrong" {
  value = provider::hcs::quorum(4)
}
