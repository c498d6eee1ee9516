list "hcs_cluster" "all" {
  provider = hcs

  config {
    location = "northeurope"
  }
}
