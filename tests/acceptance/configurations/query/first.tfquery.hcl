list "hcs_cluster" "all" {
  provider = hcs
  limit    = 1
}
