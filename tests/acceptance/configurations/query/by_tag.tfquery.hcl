list "hcs_cluster" "all" {
  provider = hcs

  config {
    tags = { team = "search" }
  }
}
