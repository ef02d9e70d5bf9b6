module "gke" {
  source = "../gke"

  project_id          = local.project_id
  project_number      = var.project_number
  region              = var.region
  network             = module.network.network
  subnet              = module.network.cluster_subnet
  node_account        = module.identity.emails["imagen-nodes"]
  deletion_protection = var.deletion_protection
  workloads = {
    worker       = { namespace = "imagen" }
    triton       = { namespace = "imagen" }
    models-fetch = { namespace = "imagen" }
    # What hands Cloud Monitoring's figures to the autoscaler.
    custom-metrics-stackdriver-adapter = { namespace = "custom-metrics" }
  }
}
