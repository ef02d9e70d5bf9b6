module "pubsub" {
  source = "../pubsub"

  project_id     = local.project_id
  project_number = var.project_number
  push           = local.push

  access = {
    # The site publishes a job when it is sent, and the webhooks once more when its message was lost.
    publish_jobs  = { web = local.members.web, webhooks = local.members.webhooks }
    work_on_jobs  = { worker = local.workloads.worker }
    announce_ends = { worker = local.workloads.worker }
  }
}
