variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "project_number" {
  description = "Its number, by which Google names its own accounts in it."
  type        = string
}

variable "job_topics" {
  description = "The topics of the operations (jobs/operations.py)."
  type        = set(string)
  default     = ["upscale-jobs", "enhance-jobs", "style-comic-jobs", "style-aged-jobs", "background-remove-jobs"]

  validation {
    condition     = alltrue([for topic in var.job_topics : endswith(topic, "-jobs")])
    error_message = "The topic of an operation ends in -jobs."
  }
}

variable "dead_letter_topic" {
  description = "Where Pub/Sub puts what it has delivered too often (imagen_site/brokers/pubsub.py)."
  type        = string
  default     = "dead-letter-jobs"
}

variable "event_topic" {
  description = "Where workers tell of jobs that have ended (jobs/job_events.py)."
  type        = string
  default     = "job-events"
}

variable "ack_deadline_seconds" {
  description = "After how long a message comes back that no worker has in hand (docs/decisions/0027)."
  type        = number
  default     = 60

  validation {
    condition     = var.ack_deadline_seconds >= 60 && var.ack_deadline_seconds <= 600
    error_message = "A message is hidden for at least 60 seconds, the lease of a job, and Pub/Sub grants 600 at most."
  }
}

variable "max_deliveries" {
  description = "After how many deliveries a message is a dead letter: far more than a job has attempts, which are what counts."
  type        = number
  default     = 100

  validation {
    condition     = var.max_deliveries >= 20 && var.max_deliveries <= 100
    error_message = "Between 20, well above the five attempts of a job, and 100, the most that Pub/Sub counts to."
  }
}

variable "push" {
  description = "The webhooks service: its address, what tokens for it are made out to, and the account they speak for."
  type = object({
    url             = string
    audience        = string
    service_account = string
  })

  validation {
    condition     = startswith(var.push.url, "https://") && !endswith(var.push.url, "/")
    error_message = "Pub/Sub pushes to an https:// address, here without a slash at the end."
  }
}

variable "access" {
  description = "Members, by their names: who publishes jobs, who works on them, and who tells of their ends."
  type = object({
    publish_jobs  = optional(map(string), {})
    work_on_jobs  = optional(map(string), {})
    announce_ends = optional(map(string), {})
  })
  default = {}
}
