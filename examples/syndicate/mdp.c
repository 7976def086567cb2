#include "mdp.h"

#include <math.h>
#include <stdlib.h>

enum { SWEEPS_MOST = 40 };

static const double residual_wanted = 1e-9;
static const double cost = 0.05; /* percent, of a change of position by one */

void mdp_start(struct mdp *mdp, const struct world *world)
{
    *mdp = (struct mdp){.discount = 0.9};
    mdp_count(mdp, world, WORLD_RETURNS - 1 - WORLD_LOOKBACK);
}

void mdp_step(struct mdp *mdp, const struct world *world, int64_t step)
{
    if (step % MDP_EVERY != 0)
        return;
    mdp_count(mdp, world, MDP_EVERY);
    mdp_iterate(mdp, residual_wanted, SWEEPS_MOST);
    mdp->plans++;
    mdp->part.changed = true;
}

int mdp_look(const struct world *world, size_t index)
{
    return (world_trend(world, index) * 3 + world_last(world, index)) * 2 + world_restless(world, index);
}

void mdp_count(struct mdp *mdp, const struct world *world, size_t count)
{
    for (size_t i = WORLD_RETURNS - 1 - count; i < WORLD_RETURNS - 1; i++) {
        int look = mdp_look(world, i);
        mdp->follows[look * MDP_LOOKS + mdp_look(world, i + 1)]++;
        mdp->earned[look] += 100 * world->returns[i + 1];
    }
}

double mdp_worth(const struct mdp *mdp, int look, int position, int action)
{
    const int64_t *follows = &mdp->follows[(size_t)look * MDP_LOOKS];
    double seen = 1, ahead = mdp->values[look * MDP_POSITIONS + action]; /* as if it had once followed itself */
    for (int next = 0; next < MDP_LOOKS; next++) {
        seen += (double)follows[next];
        ahead += (double)follows[next] * mdp->values[next * MDP_POSITIONS + action];
    }
    double earns = (action - 1) * mdp->earned[look] / seen - cost * abs(action - position);
    return earns + mdp->discount * ahead / seen;
}

static double sweep(struct mdp *mdp)
{
    double largest = 0;
    for (int look = 0; look < MDP_LOOKS; look++)
        for (int position = 0; position < MDP_POSITIONS; position++) {
            int state = look * MDP_POSITIONS + position, best = 0;
            double worth[MDP_POSITIONS];
            for (int action = 0; action < MDP_POSITIONS; action++) {
                worth[action] = mdp_worth(mdp, look, position, action);
                if (worth[action] > worth[best])
                    best = action;
            }
            largest = fmax(largest, fabs(worth[best] - mdp->values[state]));
            mdp->values[state] = worth[best];
            mdp->policy[state] = best;
        }
    return largest;
}

void mdp_iterate(struct mdp *mdp, double bound, int most)
{
    for (int i = 0; i < most; i++) {
        mdp->residual = sweep(mdp);
        mdp->sweeps++;
        if (mdp->residual < bound)
            return;
    }
}

void mdp_write(const void *part, json_t *to)
{
    const struct mdp *mdp = part;
    put_integer(to, "plans", mdp->plans);
    put_integer(to, "sweeps", mdp->sweeps);
    put_real(to, "residual", mdp->residual);
    put_real(to, "discount", mdp->discount);
    put_reals(to, "values", mdp->values, MDP_STATES);
    put_integers(to, "policy", mdp->policy, MDP_STATES);
    put_integers(to, "follows", mdp->follows, MDP_LOOKS * MDP_LOOKS);
    put_reals(to, "earned", mdp->earned, MDP_LOOKS);
}

void mdp_read(void *part, struct reading *from)
{
    struct mdp *mdp = part;
    mdp->plans = get_integer(from, "plans", 0, INT64_MAX);
    mdp->sweeps = get_integer(from, "sweeps", 0, INT64_MAX);
    mdp->residual = get_real(from, "residual");
    mdp->discount = get_real_within(from, "discount", 0, 0.9999);
    get_reals(from, "values", mdp->values, MDP_STATES);
    get_integers(from, "policy", mdp->policy, MDP_STATES, MDP_POSITIONS - 1);
    get_integers(from, "follows", mdp->follows, (size_t)MDP_LOOKS * MDP_LOOKS, INT64_C(1) << 52);
    get_reals(from, "earned", mdp->earned, MDP_LOOKS);
}
