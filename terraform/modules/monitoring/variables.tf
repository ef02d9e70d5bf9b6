variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "environment" {
  description = "Which environment this is: it stands before the name of each alert."
  type        = string
}

variable "channels" {
  description = "Whom alerts are sent to, by a name: an e-mail address by type email and labels { email_address }, a topic by pubsub and { topic }. tells: which severities."
  type = map(object({
    type   = string
    labels = map(string)
    tells  = optional(set(string), ["page", "ticket"])
  }))
  default = {}

  validation {
    condition     = alltrue([for channel in var.channels : contains(["email", "pubsub", "sms"], channel.type)])
    error_message = "A channel of Terraform's is of type email, pubsub or sms. What needs a token (Slack, PagerDuty) is made in the console and named in made_by_hand, so that no state file holds the token."
  }

  validation {
    condition     = alltrue([for channel in var.channels : length(setsubtract(channel.tells, ["page", "ticket"])) == 0])
    error_message = "A channel tells of page, of ticket, or of both."
  }
}

variable "made_by_hand" {
  description = "Channels that were made in the console, by severity and by their full names."
  type = object({
    page   = optional(set(string), [])
    ticket = optional(set(string), [])
  })
  default = {}
}

variable "runbooks" {
  description = "What stands before docs/runbooks/ in the link of an alert: where this repository can be read. Empty: the path alone is named."
  type        = string
  default     = ""

  validation {
    condition     = var.runbooks == "" || can(regex("^https://.+[^/]$", var.runbooks))
    error_message = "runbooks is an https:// address without a slash at its end, such as https://github.com/example/imagen/blob/main."
  }
}

variable "prices" {
  description = "Dollars an hour, for the dashboard's cost per thousand images: a node with its card for each Triton, and a worker's pod."
  type = object({
    triton_hour = number
    worker_hour = number
  })

  validation {
    condition     = var.prices.triton_hour >= 0 && var.prices.worker_hour >= 0
    error_message = "A price is not negative."
  }
}

variable "measured" {
  description = "Whether a worker has run here. Until then Google knows none of its metrics, and refuses an objective that asks for one."
  type        = bool
}

variable "objectives" {
  description = "What is promised of jobs over 28 days. goal: the share of them; seconds: within which time."
  type = object({
    completed      = optional(object({ goal = optional(number, 0.995) }), {})
    first_progress = optional(object({ goal = optional(number, 0.95), seconds = optional(number, 30) }), {})
    end_to_end = optional(object({
      goal = optional(number, 0.95)
      # By operation. Bounds of imagen_job_seconds, so that nothing is guessed between two of them.
      seconds = optional(map(number), {
        upscale           = 60
        enhance           = 120
        style_comic       = 120
        style_aged        = 120
        background_remove = 30
      })
    }), {})
  })
  default = {}

  validation {
    condition = alltrue([
      for goal in [var.objectives.completed.goal, var.objectives.first_progress.goal, var.objectives.end_to_end.goal] :
      goal > 0 && goal < 1
    ])
    error_message = "A goal is a share between 0 and 1, such as 0.995; nobody keeps 1."
  }
}
