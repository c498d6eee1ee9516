# No variable says this.

resource "hcs_cluster" "main" {
  lifecycle {
    create_before_destroy = true
  }
}
