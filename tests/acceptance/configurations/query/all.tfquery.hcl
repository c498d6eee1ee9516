list "hcs_cluster" "all" {
  provider = hcs
}
