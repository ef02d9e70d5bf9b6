variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the clock runs."
  type        = string
}

variable "schedule" {
  description = "When, as cron says it."
  type        = string
  default     = "* * * * *"

  validation {
    condition     = can(regex("^(\\*|\\*/[1-5]) \\* \\* \\* \\*$", var.schedule))
    error_message = "Every minute, or every five at most: a job whose worker died waits for it."
  }
}

variable "paused" {
  description = "Whether it stands still: while a database is restored, nothing may be settled."
  type        = bool
  default     = false
}

variable "push" {
  description = "The webhooks service: its address, what tokens for it are made out to, and the account they speak for."
  type = object({
    url             = string
    audience        = string
    service_account = string
  })
}
