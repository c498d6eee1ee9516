list "hcs_cluster" "all" {
  provider         = hcs
  include_resource = true
}
